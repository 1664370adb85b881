"""The gate's evidence: fortunes by hand, what holds for any log, how often it errs over looks, what `needed` says."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.promotion_test import (
    ALPHA,
    STAKES,
    count_lifts,
    decide_lift,
    impressions_needed,
    largest_loss,
    lower_bound,
)

ROWS = 4000


def rows(seed: int, rate: float = 0.05, size: int = ROWS) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Return a log of a uniform policy over four actions: reward, propensity, a better policy, the logging policy."""
    rng = np.random.default_rng(seed)
    action = rng.integers(4, size=size)
    reward = (rng.random(size) < rate * np.array([0.5, 0.5, 1.0, 2.0])[action]).astype(float)
    return reward, np.full(size, 0.25), np.array([0.1, 0.1, 0.1, 0.7])[action], np.full(size, 0.25)


def test_a_fortune_by_hand() -> None:
    """Against the claim 0, loss 1, a row of lift 1 multiplies a stake c by 1 + c; at a mean fortune of 20 it falls."""
    ups = next(k for k in range(1, 100) if np.mean((1 + STAKES) ** k) >= 20)
    for zeros in (0, 1000):
        assert lower_bound(count_lifts(np.array([1.0] * ups + [0.0] * zeros)), 1.0) >= 0
        assert lower_bound(count_lifts(np.array([1.0] * (ups - 1) + [0.0] * zeros)), 1.0) < 0
    assert impressions_needed(count_lifts(np.array([1.0] * ups)), 1.0, 0.0) == 0
    assert impressions_needed(count_lifts(np.array([1.0] * (ups - 1))), 1.0, 0.0) == 1


@given(st.integers(0, 10_000))
def test_the_bound_is_below_the_mean_and_above_the_worst(seed: int) -> None:
    terms = np.random.default_rng(seed).choice([-1.0, 0.0, 0.5, 4.0], 200)
    low = lower_bound(count_lifts(terms), 1.0)
    assert -1 <= low <= terms.mean()
    assert lower_bound(count_lifts(3 * terms), 3.0) == pytest.approx(3 * low, rel=1e-6, abs=1e-9)
    assert lower_bound(count_lifts(terms[::-1]), 1.0) == pytest.approx(low)


@given(st.integers(0, 1000))
def test_more_of_the_same_raises_the_bound(seed: int) -> None:
    terms = np.random.default_rng(seed).choice([-1.0, 0.0, 0.5, 4.0], 50)
    assert lower_bound(count_lifts(np.tile(terms, 2)), 1.0) >= lower_bound(count_lifts(terms), 1.0) - 1e-9


def test_a_clearly_better_policy_is_promoted() -> None:
    lift = decide_lift(*rows(1))
    assert lift.verdict == "promote"
    assert lift.value == pytest.approx(0.05 * (0.7 * 2 + 0.1 * 2 - 1), rel=0.3)
    assert 0 < lift.low < lift.value
    assert lift.needed == 0
    assert lift.effective_sample_size == pytest.approx(ROWS / (0.25 * (3 * 0.4**2 + 2.8**2)), rel=0.1)


def test_too_little_is_held_with_a_number() -> None:
    lift = decide_lift(*rows(1, rate=0.02, size=500))
    assert lift.verdict == "hold"
    assert lift.needed is not None
    assert lift.needed > 0
    assert lift.finding.startswith("not enough evidence: about ")
    assert "more matured impressions needed; lift +0.0" in lift.finding


def test_a_worse_policy_is_held_without_a_promise() -> None:
    reward, propensity, better, logging = rows(1)
    lift = decide_lift(reward, propensity, logging, better)
    assert (lift.verdict, lift.needed) == ("hold", None)
    assert lift.finding.startswith("not enough evidence: lift ")


def test_the_same_policy_is_no_better_but_within_any_margin() -> None:
    reward, propensity, better, _ = rows(1)
    same = decide_lift(reward, propensity, better, better)
    assert (same.verdict, same.value, same.low) == ("hold", 0.0, 0.0)
    assert decide_lift(reward, propensity, better, better, margin=0.001).verdict == "promote"


def test_a_margin_allows_a_slightly_worse_policy() -> None:
    reward, propensity, better, logging = rows(1, size=20_000)
    blend = 0.98 * better + 0.02 * logging
    assert decide_lift(reward, propensity, blend, better).verdict == "hold"
    assert decide_lift(reward, propensity, blend, better, margin=0.005).verdict == "promote"


def test_a_small_effective_sample_is_held() -> None:
    reward, propensity, better, logging = rows(1)
    lift = decide_lift(reward, propensity, better, logging, fewest_effective=8000)
    assert lift.verdict == "hold"
    assert lift.needed == pytest.approx(ROWS * (8000 / lift.effective_sample_size - 1), abs=1)


def test_wrong_propensities_are_held() -> None:
    reward, propensity, better, logging = rows(1)
    lift = decide_lift(reward, 0.5 * propensity, better, logging)
    assert (lift.verdict, lift.needed) == ("hold", None)
    assert lift.finding.startswith("candidate: the mean weight is ")


def test_invalid_comparisons_are_errors() -> None:
    reward, propensity, better, logging = rows(1)
    with pytest.raises(DataError, match="margin: -0.1"):
        decide_lift(reward, propensity, better, logging, margin=-0.1)
    with pytest.raises(DataError, match="reward: -1.0, expected 0 or more"):
        decide_lift(-reward, propensity, better, logging)
    with pytest.raises(DataError, match="loss: 0.1, expected at least 0.6"):
        decide_lift(reward, propensity, better, logging, loss=0.1)


def test_the_largest_loss_is_any_rows() -> None:
    ours, theirs = np.array([1.0, 0.5, 2.0]), np.array([1.0, 2.0, 1.0])
    assert largest_loss(ours, theirs, np.array([0.0, 0.0, 1.0])) == 1.5
    assert largest_loss(ours, theirs, np.array([0.0, 0.0, 3.0])) == 4.5


@pytest.mark.parametrize("seed", range(5))
def test_needed_is_exact_where_rows_repeat(seed: int) -> None:
    """With the log repeated, the bound passes -margin at the number of rows foretold, and not a tenth before."""
    reward, propensity, better, logging = rows(seed, rate=0.01, size=1000)
    terms = (better - logging) / propensity * reward
    more = impressions_needed(count_lifts(terms), 1.0, 0.0)
    assert more is not None
    assert more > 0
    times = (len(terms) + more) / len(terms)
    enough, short = np.tile(terms, int(np.ceil(times))), np.tile(terms, int(np.floor(0.9 * times)))
    assert lower_bound(count_lifts(enough), 1.0) >= 0
    assert not len(short) or lower_bound(count_lifts(short), 1.0) < 0


def looks(
    better: AnyArray, rate: AnyArray, margin: float, logs: int, seed: int, swing: AnyArray | float = 1.0
) -> AnyArray:
    """
    Return the look, of 20 of 1,000 rows each, at which logs of a uniform policy promoted (0: never): (logs,).

    `swing` (20,) multiplies the rates from look to look.
    """
    rng, actions = np.random.default_rng(seed), len(better)
    terms = np.append(actions * better - 1, 0.0)  # of a click on each action, and of none
    expected = np.broadcast_to(1000 * rate / actions, (20, actions)) * np.reshape(swing, (-1, 1))
    clicks = rng.poisson(expected, (logs, 20, actions)).cumsum(1)
    counts = np.concatenate([clicks, 1000 * np.arange(1, 21)[None, :, None] - clicks.sum(2, keepdims=True)], 2)
    loss = -terms.min()
    growth = np.log1p(STAKES[:, None] * ((loss + terms) / (loss - margin) - 1))
    fortune = np.exp(counts @ growth.T).mean(2)  # (logs, looks)
    return np.where((fortune >= 20).any(1), (fortune >= 20).argmax(1) + 1, 0)


@pytest.mark.parametrize("rate", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("tilt", [0.3, 0.9])
def test_a_policy_worse_by_the_margin_is_rarely_promoted_over_twenty_looks(rate: float, tilt: float) -> None:
    rates = rate * np.array([0.4, 0.8, 1.2, 1.6])
    worse = (1 - tilt) / 4 + tilt * np.array([1.0, 0, 0, 0])
    margin = rates.mean() - worse @ rates
    assert (looks(worse, rates, margin, 4000, 1) > 0).mean() <= 0.05


def test_a_policy_as_good_is_rarely_promoted_over_twenty_looks() -> None:
    assert (looks(np.array([0.7, 0.1, 0.1, 0.1]), np.full(4, 0.02), 0.0, 4000, 2) > 0).mean() <= 0.05


def test_a_lift_that_drifts_is_judged_by_its_mean_so_far() -> None:
    """The loss shrinks by half and comes back; an error is a promotion while the mean so far is below the margin."""
    rates, worse = 0.02 * np.array([0.4, 0.8, 1.2, 1.6]), np.array([0.55, 0.15, 0.15, 0.15])
    swing = 1 - 0.5 * np.sin(np.arange(20) / 20 * 2 * np.pi)
    lost = (rates.mean() - worse @ rates) * swing.cumsum() / np.arange(1, 21)
    margin = lost[-1]
    promoted = looks(worse, rates, margin, 4000, 4, swing)
    wrong = lost >= margin * (1 - 1e-9)
    assert wrong[[0, -1]].all()
    assert not wrong[5:15].any()
    assert (wrong[promoted - 1] & (promoted > 0)).mean() <= 0.05


@pytest.mark.slow
def test_a_policy_is_rarely_promoted_because_some_users_like_its_creative() -> None:
    """Half of 300 users click creative a, half b; each has 20 rows on average. Showing b more often earns nothing."""
    promoted = np.zeros(2)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        user = np.repeat(np.arange(300), rng.geometric(1 / 20, 300))
        shown, liked = rng.integers(2, size=len(user)), rng.integers(2, size=300)[user]
        reward = (rng.random(len(user)) < np.where(shown == liked, 0.3, 0.02)).astype(float)
        columns = reward, np.full(len(user), 0.5), np.where(shown == 1, 0.9, 0.1), np.full(len(user), 0.5)
        for i, clusters in enumerate((None, Clusters(np.ones(len(user)), user))):
            promoted[i] += decide_lift(*columns, loss=1.0, clusters=clusters).verdict == "promote"
    by_row, by_user = promoted / 300
    assert by_row > 0.05
    assert by_user <= 0.05


def test_rows_of_one_user_count_as_fewer() -> None:
    """With each row ten times, all of one user, the bound is that of the rows once; alone, it would be higher."""
    log = rows(1, size=1000)
    ten = np.repeat(log[0], 10), np.repeat(log[1], 10), np.repeat(log[2], 10), np.repeat(log[3], 10)
    once = decide_lift(*log, loss=1.0)
    users = Clusters(np.ones(10_000), np.repeat(np.arange(1000), 10))
    by_user = decide_lift(*ten, loss=1.0, clusters=users)
    assert (by_user.value, by_user.low) == pytest.approx((once.value, once.low))
    alone, weights = decide_lift(*ten, loss=1.0), Clusters(np.full(1000, 10.0), np.full(1000, -1))
    assert alone.low > once.low
    weighted = decide_lift(*log, loss=1.0, clusters=weights)
    assert astuple(weighted)[1:6] == pytest.approx(astuple(alone)[1:6])


def test_a_candidate_that_one_user_clicks_is_held() -> None:
    reward, propensity, better, logging = rows(1)
    users = np.where(np.cumsum(reward) * reward <= 60, -1, 7)  # the clicks after the 60th are of one user
    lift = decide_lift(reward, propensity, better, logging, clusters=Clusters(np.ones(ROWS), users))
    assert (lift.verdict, lift.needed) == ("hold", None)
    assert lift.finding.endswith("of the rewarded rows, expected at most 20%")


def test_a_better_policy_is_mostly_promoted() -> None:
    rates = 0.02 * np.array([0.4, 0.8, 1.2, 1.6])
    assert (looks(np.array([0.1, 0.1, 0.1, 0.7]), rates, 0.0, 1000, 3) > 0).mean() > 0.9


def test_predicted_numbers_of_impressions_are_about_right() -> None:
    """Asked after 2,000 rows, the median answer is within a factor of two of when the bound passes."""
    foretold, came = [], []
    for seed in range(60):
        reward, propensity, better, logging = rows(seed, rate=0.01, size=40_000)
        terms = (better - logging) / propensity * reward
        more = impressions_needed(count_lifts(terms[:2000]), 1.0, 0.0)
        foretold.append(np.inf if more is None else 2000 + more)
        came.append(
            next((n for n in range(2000, 40_001, 1000) if lower_bound(count_lifts(terms[:n]), 1.0) > 0), np.inf)
        )
    assert 0.5 < np.median(foretold) / np.median(came) < 2


def test_a_guardrail_passes_without_a_single_event() -> None:
    propensity, target = np.full(4000, 0.5), np.resize([0.9, 0.1], 4000)
    none = np.zeros(4000)
    held, passed = (decide_lift(none, propensity, target, propensity, 0.01, guardrail=g) for g in (False, True))
    assert (held.verdict, passed.verdict) == ("hold", "promote")
    few = decide_lift(none[:200], propensity[:200], target[:200], propensity[:200], 0.01, guardrail=True)
    assert few.verdict == "hold"
    assert few.needed is not None
    assert 0 < few.needed < 4000


def test_fewer_complaints_are_a_lift() -> None:
    reward, propensity, target, champion = rows(0)
    more = decide_lift(reward, propensity, target, champion, 0.01)
    fewer = decide_lift(reward, propensity, target, champion, 0.01, less_is_better=True)
    assert fewer.value == -more.value < 0
    assert fewer.verdict == "hold"
    assert decide_lift(reward, propensity, champion, target, 0.01, less_is_better=True).value == more.value


@pytest.mark.parametrize("margin", [0.0, 0.003, 0.05])
def test_the_p_value_and_the_bound_agree(margin: float) -> None:
    reward, propensity, target, champion = rows(1)
    lift = decide_lift(reward, propensity, target, champion, margin)
    assert (lift.p_value <= ALPHA) == (lift.low > -margin)
    assert 0 <= lift.p_value <= 1


def test_values_in_another_currency_change_the_units_alone() -> None:
    reward, propensity, target, champion = rows(2)
    one = decide_lift(reward, propensity, target, champion, 0.002)
    cents = decide_lift(100 * reward, propensity, target, champion, 0.2, largest_reward=100.0)
    assert cents.low == pytest.approx(100 * one.low)
    assert cents.p_value == pytest.approx(one.p_value)
