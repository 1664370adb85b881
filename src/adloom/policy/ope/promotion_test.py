"""
A test that a candidate policy is no worse than the champion, valid for any number of looks.

A row's lift d is (candidate's weight - champion's weight) * reward. The lower bound comes from betting (Waudby-Smith
and Ramdas 2024; Waudby-Smith et al. 2024): against the claim "the mean lift is at most m", shares c of a fortune are
staked, so each row multiplies it by (1 - c) + c * (loss + d) / (loss + m). Under the claim it reaches 20 with a
probability of at most 1/20 (Ville 1939). Nothing is assumed to be normal. Rows of one user are not independent: they
count as fewer, by the design effect of the lifts' variance.
"""

from dataclasses import dataclass
from math import ceil, log
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import (
    MIN_EVENTS,
    WIDENING,
    effective_events,
    effective_sample_size,
    find_user_issue,
    find_weight_issue,
)
from adloom.policy.ope.estimators import importance_weights

ALPHA = 0.05  # probability of ever promoting a policy that is worse than the margin
STAKES = np.geomspace(0.005, 0.9, 24)  # shares of the fortune
MIN_EFFECTIVE_SAMPLE = 100.0  # rows
MAX_IMPRESSIONS = 1e12  # more counts as never


@dataclass(frozen=True)
class Lift:
    """A candidate's lift over the champion, in rewards per impression."""

    verdict: Literal["promote", "hold"]
    value: float
    low: float  # lower bound at 95 %, over all looks together
    margin: float
    n: int  # matured impressions
    effective_sample_size: float  # rows, of the candidate's weights
    needed: int | None  # estimated further impressions until `low` passes -margin; None if never
    finding: str
    p_value: float  # of "worse than the margin", valid for all looks together


@dataclass(frozen=True)
class DirectTerms:
    """Rewards by a model: of the logged action, and of what candidate and champion show (rows,)."""

    predicted: AnyArray
    candidate: AnyArray
    champion: AnyArray

    def correct(self, weights: AnyArray, reward: AnyArray, less_is_better: bool) -> AnyArray:
        """Return the doubly robust lifts of rows with a difference of weights (rows,)."""
        sign = -1.0 if less_is_better else 1.0
        return np.asarray(weights * (reward - self.predicted) + sign * (self.candidate - self.champion))


def decide_lift(
    reward: AnyArray,
    propensity: AnyArray,
    candidate: AnyArray,
    champion: AnyArray,
    margin: float = 0.0,
    fewest_effective: float = MIN_EFFECTIVE_SAMPLE,
    loss: float | None = None,
    clusters: Clusters | None = None,
    guardrail: bool = False,
    less_is_better: bool = False,
    largest_reward: float = 1.0,
    direct: DirectTerms | None = None,
) -> Lift:
    """
    Promote a candidate if its lift's lower bound is above -margin with a large enough effective sample.

    candidate and champion (rows,) are probabilities of the logged action. `loss` is the largest loss of a row, by
    default estimated from `largest_reward` (1 for clicks if the champion wrote the log). `clusters` tells the
    impressions and users of rows. A `guardrail` asks for no rewarded rows: none at all are evidence, too. The lift of
    rewards of which less is better, such as complaints, has the opposite sign. With `direct`, propensities are
    estimated: lifts are doubly robust, and count as those of WIDENING² times fewer impressions.
    """
    clusters = clusters or Clusters.single(len(reward))
    if not margin >= 0:
        raise DataError(f"margin: {margin}, expected 0 or more rewards per impression")
    candidate_weights, champion_weights = (
        importance_weights(reward, propensity, candidate),
        importance_weights(reward, propensity, champion),
    )
    better, worse = (candidate_weights, champion_weights)[:: -1 if less_is_better else 1]
    terms = (better - worse) * reward
    max_loss = largest_loss(better, worse, reward, largest_reward) if loss is None else loss
    if direct:
        terms = direct.correct(better - worse, reward, less_is_better)
        max_loss = max(max_loss, -float(terms.min()))
    lifts = count_lifts(terms, clusters, WIDENING**2 if direct else 1.0)
    low = lower_bound(lifts, max_loss)
    effective = effective_sample_size(candidate_weights, clusters)
    issue = _find_weight_issue(candidate_weights, champion_weights, clusters)
    issue = issue or ("" if guardrail else find_user_issue(reward, clusters))
    fewest_events = 0.0 if guardrail else MIN_EVENTS
    events = effective_events(candidate_weights, clusters.count_rewarded(reward), clusters)
    value, rows, p_value = clusters.mean(terms), int(clusters.total), find_p_value(lifts, max_loss, margin)
    if not issue and low > -margin and effective >= fewest_effective and events >= fewest_events:
        finding = f"lift {value:+.5f}, at least {low:+.5f} (95 %, all looks together), above {0 - margin:g}"
        return Lift("promote", value, low, margin, rows, effective, 0, finding, p_value)
    more = None
    if not issue and (events or guardrail):
        times = max(fewest_effective / effective, fewest_events / events if events else 0.0, 1.0)
        more = impressions_needed(lifts, max_loss, margin)
        more = None if more is None else max(more, ceil(clusters.total * (times - 1)))
    return Lift(
        "hold",
        value,
        low,
        margin,
        rows,
        effective,
        more,
        issue or _describe_shortfall(value, low, margin, more),
        p_value,
    )


def largest_loss(
    candidate_weights: AnyArray, champion_weights: AnyArray, reward: AnyArray, largest_reward: float = 1.0
) -> float:
    """Return the largest loss of any row at the largest reward."""
    if (reward < 0).any():
        raise DataError(f"reward: {reward.min()}, expected 0 or more")
    return max(float((champion_weights - candidate_weights).max()), 0.0) * max(float(reward.max()), largest_reward)


@dataclass(frozen=True)
class Lifts:
    """Distinct lifts and how many independent impressions have each, fewer than the rows if users repeat."""

    lifts: AnyArray
    counts: AnyArray
    impressions: float  # of the log

    @property
    def value(self) -> float:
        """The mean lift."""
        return float((self.lifts * self.counts).sum() / self.counts.sum())


def count_lifts(terms: AnyArray, clusters: Clusters | None = None, inflation: float = 1.0) -> Lifts:
    """Count the lifts of rows (rows,), divided by the design effect of their users and the variance's inflation."""
    clusters = clusters or Clusters.single(len(terms))
    moved, index = np.unique(terms, return_inverse=True)
    counts = np.bincount(index, clusters.counts) / (clusters.design_effect(terms) * inflation)
    return Lifts(moved, counts, impressions=clusters.total)


def lower_bound(lifts: Lifts, loss: float, alpha: float = ALPHA) -> float:
    """Return the anytime-valid lower bound of the mean of lifts, each at least -loss."""
    if lifts.lifts.min() < -loss * (1 + 1e-9):
        raise DataError(f"loss: {loss:g}, expected at least {-lifts.lifts.min():g}, the loss of a row")
    value = lifts.value
    if value <= -loss:
        return -loss
    lowest = -loss + (value + loss) * 1e-9

    def excess(claim: float) -> float:
        return float(np.logaddexp.reduce(_log_fortunes(lifts, loss, claim)) - log(len(STAKES))) + log(alpha)

    return float(brentq(excess, lowest, value)) if excess(lowest) > 0 else -loss


def find_p_value(lifts: Lifts, loss: float, margin: float) -> float:
    """Return the always-valid p-value of "the mean lift is at most -margin" (Johari et al. 2022)."""
    if loss <= margin:
        return 0.0
    return float(min(1.0, np.exp(log(len(STAKES)) - np.logaddexp.reduce(_log_fortunes(lifts, loss, -margin)))))


def impressions_needed(lifts: Lifts, loss: float, margin: float, alpha: float = ALPHA) -> int | None:
    """Return about how many more impressions the lower bound needs; None if never."""
    if loss <= margin:
        return 0
    growth, rows = _log_fortunes(lifts, loss, -margin), lifts.impressions

    def excess(times: float) -> float:
        return float(np.logaddexp.reduce(growth * times) - log(len(STAKES))) + log(alpha)

    if excess(1.0) > 0:
        return 0
    limit = MAX_IMPRESSIONS / rows
    return ceil(rows * (brentq(excess, 1.0, limit) - 1)) if excess(limit) > 0 else None


def _log_fortunes(lifts: Lifts, loss: float, claim: float) -> AnyArray:
    """Return each stake's log fortune (stakes,)."""
    factors = np.log1p(STAKES[:, None] * ((loss + lifts.lifts) / (loss + claim) - 1))
    return np.asarray((lifts.counts * factors).sum(1))


def _find_weight_issue(candidate_weights: AnyArray, champion_weights: AnyArray, clusters: Clusters) -> str:
    for name, weight in (("candidate", candidate_weights), ("champion", champion_weights)):
        if issue := find_weight_issue(weight, clusters):
            return f"{name}: {issue}"
    return ""


def _describe_shortfall(value: float, low: float, margin: float, more: int | None) -> str:
    summary = f"lift {value:+.5f}, at least {low:+.5f} (95 %, all looks together), expected above {0 - margin:g}"
    if more is None:
        return f"not enough evidence: {summary}; more impressions like these would not help"
    return f"not enough evidence: about {_round_up(more)} more matured impressions needed; {summary}"


def _round_up(count: int) -> str:
    """Round up to two significant digits."""
    digits = max(len(str(count)) - 2, 0)
    return f"{ceil(count / 10**digits) * 10**digits:,}"
