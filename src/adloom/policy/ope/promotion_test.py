"""
Evidence that a candidate policy is no worse than the champion, from the same rows, looked at as often as one likes.

Row by row the lift is (candidate's weight - champion's weight) * reward: where both agree, nothing is left to chance.
A log that grows is looked at again and again, and a 95 % bound for each look promotes a worse policy in up to 19 % of
cases (20 looks). The lower bound here holds at all looks at once. It is a bet (Waudby-Smith and Ramdas 2024,
"Estimating means of bounded random variables by betting"; Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2024,
"Anytime-valid off-policy inference for contextual bandits"): against the claim "the lift is at most m" a share c of a
fortune is staked on each row, so that a row of lift d multiplies the fortune by

    (1 - c) + c * (loss + d) / (loss + m)

where `loss` is the most a row can lose. If the claim is true the fortune does not grow on average, and it ever reaches
20 with a chance of at most 1 in 20 (Ville 1939). The fortune is spread over 24 shares c, none of which depends on the
data. A product is at most what it were with equal factors, so the claim may be about the mean of lifts that drift from
row to row, too: divided by the product of its expected factors, a stake's fortune is a martingale, and that product is
at most 1 whenever the mean lift so far is at most m. Nothing is assumed to be normal: few clicks make the bound low.
"""

from dataclasses import dataclass
from math import ceil, log
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.estimate import MIN_EVENTS, effective_events, effective_sample_size, find_weight_issue
from adloom.policy.ope.estimators import importance_weights

ALPHA = 0.05  # chance that a policy worse than the margin is ever promoted
STAKES = np.geomspace(0.005, 0.9, 24)  # of the fortune that are staked
MIN_EFFECTIVE_SAMPLE = 100.0  # rows
MAX_IMPRESSIONS = 1e12  # impressions; more is called never


@dataclass(frozen=True)
class Lift:
    """What is known of a candidate's lift over the champion: rewards per impression, on the same rows."""

    verdict: Literal["promote", "hold"]
    value: float
    low: float  # below which the lift lies with a chance of 5 % at most, over all looks together
    margin: float
    n: int  # matured impressions
    effective_sample_size: float  # rows, of the candidate's weights
    needed: int | None  # about how many more matured impressions until `low` passes -margin; None: not by more of these
    finding: str


def decide_lift(
    reward: AnyArray,
    propensity: AnyArray,
    candidate: AnyArray,
    champion: AnyArray,
    margin: float = 0.0,
    fewest_effective: float = MIN_EFFECTIVE_SAMPLE,
    loss: float | None = None,
) -> Lift:
    """
    Promote a candidate when the lower bound of its lift is above -margin and its effective sample is large enough.

    reward (rows,) not negative; propensity (rows,), and candidate and champion (rows,), the probabilities of the logged
    action. `margin` is in rewards per impression. `loss` is the most that a row can lose against the champion, where it
    is known (1 for clicks where the champion wrote the log); else it is the most any row of the log could lose, which
    rests on measurement. Raises DataError for columns that are not what they should be.
    """
    if not margin >= 0:
        raise DataError(f"margin: {margin}, expected 0 or more rewards per impression")
    ours, theirs = importance_weights(reward, propensity, candidate), importance_weights(reward, propensity, champion)
    terms = (ours - theirs) * reward
    most = largest_loss(ours, theirs, reward) if loss is None else loss
    low = lower_bound(terms, most)
    effective = effective_sample_size(ours)
    why = _find_weight_issue(ours, theirs)
    enough = effective >= fewest_effective and effective_events(ours, _count_events(reward)) >= MIN_EVENTS
    value = float(terms.mean())
    if not why and low > -margin and enough:
        finding = f"lift {value:+.5f}, at least {low:+.5f} (95 %, all looks together), above {0 - margin:g}"
        return Lift("promote", value, low, margin, len(reward), effective, 0, finding)
    more = None if why else _total_needed(ours, reward, terms, most, margin, fewest_effective)
    return Lift(
        "hold", value, low, margin, len(reward), effective, more, why or _describe_shortfall(value, low, margin, more)
    )


def largest_loss(ours: AnyArray, theirs: AnyArray, reward: AnyArray) -> float:
    """Return the most a row of this log could have lost, had it the largest reward (at least 1); all (rows,)."""
    if (reward < 0).any():
        raise DataError(f"reward: {reward.min()}, expected none below 0 to compare policies")
    return max(float((theirs - ours).max()), 0.0) * max(float(reward.max()), 1.0)


def lower_bound(terms: AnyArray, loss: float, alpha: float = ALPHA) -> float:
    """
    Return the lower bound of the mean lift from per-row lifts (rows,), each at least -loss; it holds at all looks.

    Raises DataError when a row lost more than `loss`.
    """
    if terms.min() < -loss * (1 + 1e-9):
        raise DataError(f"loss: {loss:g}, but a row lost {-terms.min():g}; expected the most that a row can lose")
    value = float(terms.mean())
    if value <= -loss:
        return -loss
    lowest, tally = -loss + (value + loss) * 1e-9, _count_lifts(terms)

    def short(claim: float) -> float:
        return float(logsumexp(_log_fortunes(*tally, loss, claim)) - log(len(STAKES))) + log(alpha)

    return float(brentq(short, lowest, value)) if short(lowest) > 0 else -loss


def impressions_needed(terms: AnyArray, loss: float, margin: float, alpha: float = ALPHA) -> int | None:
    """
    Return about how many more impressions it takes until the lower bound passes -margin, 0 when it has.

    Each stake's fortune is taken to grow with further rows as it did with these; None when none would grow enough.
    """
    if loss <= margin:
        return 0
    growth, rows = _log_fortunes(*_count_lifts(terms), loss, -margin), len(terms)

    def short(times: float) -> float:
        return float(logsumexp(growth * times) - log(len(STAKES))) + log(alpha)

    if short(1.0) > 0:
        return 0
    most = MAX_IMPRESSIONS / rows
    return ceil(rows * (brentq(short, 1.0, most) - 1)) if short(most) > 0 else None


def _count_lifts(terms: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return the distinct lifts, 0 first, and how often each came: few where policies are tables."""
    moved, counts = np.unique(terms[terms != 0], return_counts=True)
    return np.append(0.0, moved), np.append(len(terms) - counts.sum(), counts)


def _log_fortunes(lifts: AnyArray, counts: AnyArray, loss: float, claim: float) -> AnyArray:
    """Return the logarithm of each stake's fortune (stakes,) after lifts (distinct,) that came so often (distinct,)."""
    factors = np.log1p(STAKES[:, None] * ((loss + lifts) / (loss + claim) - 1))
    return np.asarray((counts * factors).sum(1))


def _total_needed(
    ours: AnyArray, reward: AnyArray, terms: AnyArray, loss: float, margin: float, fewest_effective: float
) -> int | None:
    """Return how many more impressions all conditions need, as far as this log tells."""
    found = impressions_needed(terms, loss, margin)
    events = effective_events(ours, _count_events(reward))
    if found is None or not events:
        return None
    times = max(fewest_effective / effective_sample_size(ours), MIN_EVENTS / events, 1.0)
    return max(found, ceil(len(reward) * (times - 1)))


def _find_weight_issue(ours: AnyArray, theirs: AnyArray) -> str:
    """Return why the weights of one of the two cannot be right, "" when they may be."""
    for name, weight in (("candidate", ours), ("champion", theirs)):
        if why := find_weight_issue(weight):
            return f"{name}: {why}"
    return ""


def _describe_shortfall(value: float, low: float, margin: float, more: int | None) -> str:
    seen = f"lift {value:+.5f}, at least {low:+.5f} (95 %, all looks together), expected above {0 - margin:g}"
    if more is None:
        return f"not enough evidence: {seen}; more impressions like these would not do"
    return f"not enough evidence: about {_round_up(more)} more matured impressions needed; {seen}"


def _round_up(count: int) -> str:
    """Return a count with two digits that mean something."""
    digits = max(len(str(count)) - 2, 0)
    return f"{ceil(count / 10**digits) * 10**digits:,}"


def _count_events(reward: AnyArray) -> int:
    return int(np.count_nonzero(reward))
