"""The estimators: numbers worked by hand, what holds for any log, a maintained library's numbers, broken columns."""

from dataclasses import astuple, replace
from functools import partial

import numpy as np
import pytest
from estimators.bandits import clopper_pearson as vw_clopper_pearson  # type: ignore[import-untyped]
from estimators.bandits import gaussian as vw_gaussian
from estimators.bandits import ips as vw_ips
from estimators.bandits import snips as vw_snips
from hypothesis import given
from hypothesis import strategies as st

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope import estimators
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import WIDENING, Estimate
from adloom.policy.ope.estimators import clipped_ips, direct, doubly_robust, estimate_lift, ips, snips
from adloom.policy.ope.intervals import cumulants, zero_event_bound
from adloom.policy.ope.reward_model import CrossFit
from adloom.policy.ope.support import Support
from adloom.policy.ope.terms import Log, PolicyTerms

REWARD = np.array([1.0, 0.0, 1.0, 0.0])
PROPENSITY = np.array([0.5, 0.5, 0.25, 0.25])
TARGET = np.array([0.5, 0.25, 0.5, 0.0])  # weights 1, 0.5, 2, 0
PROBABILITIES = np.stack([TARGET, 1 - TARGET], 1)
PREDICTED = np.tile([0.5, 0.1], (4, 1))


def random_log(seed: int, rows: int = 300, rate: float = 0.2) -> tuple[AnyArray, AnyArray, AnyArray]:
    rng = np.random.default_rng(seed)
    return (rng.random(rows) < rate).astype(float), rng.uniform(0.05, 1, rows), rng.uniform(0, 1, rows)


def test_inverse_propensity_by_hand() -> None:
    result = ips(REWARD, PROPENSITY, TARGET)
    assert result.value == pytest.approx((1 + 2) / 4)
    assert result.n == 4
    assert result.effective_sample_size == pytest.approx(3.5**2 / (1 + 0.25 + 4))
    assert result.top_share == pytest.approx(2 / 3.5)  # 1 % of four rows is one row


def test_self_normalised_by_hand() -> None:
    assert snips(REWARD, PROPENSITY, TARGET).value == pytest.approx(3 / 3.5)


def test_clipped_by_hand() -> None:
    result = clipped_ips(REWARD, PROPENSITY, TARGET, 1.5)
    assert result.value == pytest.approx((1 + 1.5) / 4)
    assert result.reliability_issue.startswith("clipping at 1.5 removes 14.3%")


def test_clipping_above_all_weights_changes_nothing() -> None:
    assert clipped_ips(REWARD, PROPENSITY, TARGET, 2.0) == ips(REWARD, PROPENSITY, TARGET)


def test_direct_by_hand() -> None:
    result = direct((PREDICTED * PROBABILITIES).sum(1))
    assert result.value == pytest.approx((0.3 + 0.2 + 0.3 + 0.1) / 4)
    assert not result.trustworthy
    assert result.reliability_issue == estimators.BIAS


def test_doubly_robust_by_hand() -> None:
    result = doubly_robust(REWARD, PROPENSITY, TARGET, PREDICTED[:, 0], (PREDICTED * PROBABILITIES).sum(1))
    assert result.value == pytest.approx(0.225 + (0.5 - 0.25 + 1.0) / 4)  # direct, and weights times reward - 0.5


def test_doubly_robust_without_a_model_is_inverse_propensity() -> None:
    bare, result = (
        ips(REWARD, PROPENSITY, TARGET),
        doubly_robust(REWARD, PROPENSITY, TARGET, 0 * TARGET, 0 * TARGET),
    )
    assert (result.value, result.low, result.high) == pytest.approx((bare.value, bare.low, bare.high))


def test_doubly_robust_with_a_perfect_model_is_the_direct_method() -> None:
    result = doubly_robust(REWARD, PROPENSITY, TARGET, REWARD, REWARD)
    assert result.value == pytest.approx(direct(REWARD).value)


@pytest.mark.slow
@given(st.integers(0, 10_000))
def test_the_logging_policy_itself_earned_the_mean(seed: int) -> None:
    reward, propensity, _ = random_log(seed)
    for result in (ips(reward, propensity, propensity), snips(reward, propensity, propensity)):
        assert result.value == pytest.approx(reward.mean())
        assert result.effective_sample_size == pytest.approx(len(reward))
        assert result.top_share == pytest.approx(0.01)


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(-5, 5))
def test_self_normalised_moves_with_a_constant_and_inverse_propensity_by_the_mean_weight(seed: int, by: float) -> None:
    reward, propensity, target = random_log(seed)
    before, after = snips(reward, propensity, target), snips(reward + by, propensity, target)
    assert after.value == pytest.approx(before.value + by)
    moved = ips(reward + by, propensity, target).value - ips(reward, propensity, target).value
    assert moved == pytest.approx(by * (target / propensity).mean())


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_the_unit_of_the_reward_does_not_matter(seed: int, unit: float) -> None:
    reward, propensity, target = random_log(seed)
    for estimator in (ips, snips):
        one, other = estimator(reward, propensity, target), estimator(reward * unit, propensity, target)
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value * unit, one.low * unit, one.high * unit)
        )
        assert other.reliability_issue == one.reliability_issue


@given(st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    columns = random_log(seed)
    order = np.random.default_rng(seed).permutation(len(columns[0]))
    reward, propensity, target = columns
    one, other = ips(*columns), ips(reward[order], propensity[order], target[order])
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.integers(1, 60))
def test_any_log_gives_an_interval_around_the_value(seed: int, rate: float, rows: int) -> None:
    reward, propensity, target = random_log(seed, rows, rate)
    predicted = np.full(rows, 0.1)
    for result in (
        ips(reward, propensity, target),
        snips(reward, propensity, target),
        doubly_robust(reward, propensity, target, predicted, predicted),
    ):
        assert np.isfinite([result.low, result.value, result.high]).all()
        assert result.low <= result.value <= result.high
    assert ips(reward, propensity, target).low >= 0


def test_rewards_below_zero_mirror_those_above() -> None:
    reward, propensity, target = random_log(3)
    gain, loss = ips(reward - 0.5, propensity, target), ips(0.5 - reward, propensity, target)
    assert (loss.low, loss.value, loss.high) == pytest.approx((-gain.high, -gain.value, -gain.low), rel=1e-6)


def test_a_log_without_clicks_bounds_the_rate_from_above() -> None:
    one = np.ones(1000)
    result = ips(0 * one, 0.5 * one, 0.5 * one)
    assert (result.value, result.low) == (0, 0)
    assert result.high == pytest.approx(3.689 / 1000, rel=1e-3)  # (1 - rate)^1000 = 2.5 %
    assert not result.trustworthy


def test_values_agree_with_vowpal_wabbits_estimators() -> None:
    reward, propensity, target = random_log(1)
    theirs, theirs_normalised = vw_ips.Estimator(), vw_snips.Estimator()
    for r, p, t in zip(reward, propensity, target, strict=True):
        theirs.add_example(p, r, t)
        theirs_normalised.add_example(p, r, t)
    assert ips(reward, propensity, target).value == pytest.approx(theirs.get(), rel=1e-12)
    assert snips(reward, propensity, target).value == pytest.approx(theirs_normalised.get(), rel=1e-12)


def test_the_variance_agrees_with_vowpal_wabbits_where_weights_are_equal() -> None:
    """
    Its gaussian interval is value ± 1.96 standard errors of weight * reward. Ours has the same variance where all
    weights are equal; where they differ it is at least that one, for heavy weights that met no click (see `intervals`),
    and the quantiles are those of a skewed distribution. So the two intervals differ by intention.
    """
    reward, propensity, target = random_log(2)
    for weight, at_least in ((np.full(len(reward), 1.5), False), (target / propensity, True)):
        theirs = vw_gaussian.Interval()
        for r, w in zip(reward, weight, strict=True):
            theirs.add_example(1.0, r, w)
        low, high = theirs.get()
        variance = ((high - low) / 2 / 1.959963985) ** 2
        ours = cumulants(weight, reward).variance
        assert ours >= variance * (1 - 1e-9) if at_least else ours == pytest.approx(variance, rel=1e-9)


def test_no_clicks_are_bounded_as_by_vowpal_wabbits_clopper_pearson() -> None:
    """Its bound for rows / largest weight trials without success is binomial, ours Poisson: equal to first order."""
    theirs, weight = vw_clopper_pearson.Interval(), np.array([0.5] * 900 + [4.0] * 100)
    for w in weight:
        theirs.add_example(1.0, 0.0, w)
    assert zero_event_bound(weight, 1000) == pytest.approx(theirs.get()[1], rel=0.01)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("propensity", 0.0, "propensity: 0.0 in row 1 (and 0 more), expected a probability in (0, 1]"),
        ("propensity", 1.5, "propensity: 1.5 in row 1 (and 0 more), expected a probability in (0, 1]"),
        ("propensity", np.nan, "propensity: nan in row 1 (and 0 more), expected a probability in (0, 1]"),
        ("reward", np.nan, "reward: nan in row 1 (and 0 more), expected a finite number"),
        ("target", -0.1, "target: -0.1 in row 1 (and 0 more), expected a probability in [0, 1]"),
    ],
)
def test_a_broken_value_is_named(column: str, value: float, message: str) -> None:
    columns = {"reward": REWARD.copy(), "propensity": PROPENSITY.copy(), "target": TARGET.copy()}
    columns[column][1] = value
    with pytest.raises(DataError) as raised:
        ips(columns["reward"], columns["propensity"], columns["target"])
    assert str(raised.value) == message


def test_columns_of_several_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"propensity: shape \(3,\), expected \(4,\)"):
        ips(REWARD, PROPENSITY[:3], TARGET)


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="reward: no rows"):
        ips(REWARD[:0], PROPENSITY[:0], TARGET[:0])


def test_a_policy_without_any_logged_action_has_no_self_normalised_value() -> None:
    with pytest.raises(DataError, match="target: 0 in every row"):
        snips(REWARD, PROPENSITY, 0 * TARGET)


def test_a_prediction_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="expected: nan in row 0"):
        doubly_robust(REWARD, PROPENSITY, TARGET, REWARD, REWARD * np.nan)


@pytest.mark.parametrize("users", [-1, 0])
def test_a_log_and_its_weighted_twin_have_equal_estimates(users: int) -> None:
    """Users of several rows: each of the four kinds of rows is of another user, or of unknown ones."""
    counts = np.array([3, 20, 2, 30])
    user = np.arange(4) if users == 0 else np.full(4, -1)
    weighted = Clusters(counts.astype(float), user)
    reward, propensity, target, predicted = (
        (column, np.repeat(column, counts)) for column in (REWARD, PROPENSITY, TARGET, 0.1 + 0.1 * TARGET)
    )
    repeated = Clusters(np.ones(55), np.repeat(user, counts))
    for estimator in (ips, snips, partial(clipped_ips, limit=1.5)):
        one = estimator(reward[0], propensity[0], target[0], clusters=weighted)
        assert_equal(one, estimator(reward[1], propensity[1], target[1], clusters=repeated))
    columns = list(zip(reward, propensity, target, predicted, predicted, strict=True))
    one, other = doubly_robust(*columns[0], clusters=weighted), doubly_robust(*columns[1], clusters=repeated)
    assert_equal(one, other)


def assert_equal(one: Estimate, other: Estimate) -> None:
    assert astuple(one)[:-1] == pytest.approx(astuple(other)[:-1], rel=1e-9)
    assert one.reliability_issue == other.reliability_issue


def test_rows_of_one_user_make_the_interval_longer() -> None:
    """A hundred users with ten rows each, all clicked or none: as a hundred rows."""
    clicked = np.repeat(np.arange(100) < 20, 10).astype(float)
    one = np.ones(1000)
    by_user = ips(clicked, one, one, clusters=Clusters(one, np.repeat(np.arange(100), 10)))
    alone, hundred = ips(clicked, one, one), ips(clicked[::10], one[:100], one[:100])
    assert (by_user.low, by_user.high) == pytest.approx((hundred.low, hundred.high), rel=1e-6)
    assert by_user.high - by_user.low > 3 * (alone.high - alone.low)


def test_users_with_a_row_each_change_nothing() -> None:
    columns = random_log(4)
    assert ips(*columns, clusters=Clusters(np.ones(300), np.arange(300))) == ips(*columns)


def test_a_row_of_no_impressions_is_refused() -> None:
    with pytest.raises(DataError, match="weight: 0, expected the number of impressions of a row, above 0"):
        Clusters(np.array([1.0, 0.0]), np.zeros(2, np.int64))


def test_a_lift_is_as_much_wider_with_estimated_propensities_as_a_value_is() -> None:
    rng, rows = np.random.default_rng(5), 4000
    action, place = rng.integers(2, size=rows), np.zeros(rows, int)
    reward = (rng.random(rows) < np.where(action, 0.3, 0.2)).astype(float)
    log = Log(("x", "y"), action, reward, np.full(rows, 0.5), place, place, Clusters.single(rows))
    predicted = CrossFit(np.full((1, 1, 2), 0.25), np.ones((1, rows), np.float32), place)
    better, even = (probability_terms(action, share) for share in (0.9, 0.5))
    known, estimated = (
        estimate_lift(replace(log, propensity_estimated=flag), better, even, predicted) for flag in (False, True)
    )
    assert estimated[0] == known[0] == pytest.approx(0.04, abs=0.02)
    assert estimated[2] - estimated[1] == pytest.approx(WIDENING * (known[2] - known[1]), rel=0.01)


def probability_terms(action: AnyArray, share: float) -> PolicyTerms:
    target = np.where(action, share, 1 - share)
    return PolicyTerms(target, np.full(len(action), 0.25), np.array([1 - share, share]), Support({}))
