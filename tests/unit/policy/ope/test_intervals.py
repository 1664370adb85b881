"""Intervals: quantiles beside SciPy's, cumulants by hand, and how often simulated logs' intervals hold the truth."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import binomtest, pearson3

from adloom.arrays import AnyArray
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.estimators import doubly_robust, ips, snips
from adloom.policy.ope.intervals import Cumulants, cumulants, interval, quantile
from adloom.policy.ope.reward_model import Rates, cross_fit
from adloom.world.simulator import Config, World

LOGS = 400


@pytest.mark.parametrize("skewness", [-2.0, -0.3, 0.1, 0.8, 3.0])
@pytest.mark.parametrize("p", [0.025, 0.5, 0.975])
def test_quantiles_are_pearsons(skewness: float, p: float) -> None:
    assert quantile(skewness, p) == pytest.approx(pearson3.ppf(p, skewness), abs=1e-6)


def test_without_skewness_quantiles_are_normal() -> None:
    assert quantile(0.0, 0.975) == pytest.approx(1.959964, abs=1e-3)


def test_a_heavy_weight_that_met_no_click_counts() -> None:
    """Ten rows, one click of weight 1, one row of weight 6: clicks that ignore weights would have a third moment."""
    weight, reward = np.array([1.0] * 4 + [0.0] * 5 + [6.0]), np.array([1.0] + [0.0] * 9)
    result = cumulants(weight, reward)
    rate = 1 / 10  # of clicks, by weight
    seen, expected = 1 / 10, (4 + 36) / 10 * rate
    assert result.value == pytest.approx(0.1)
    assert result.variance == pytest.approx((0.1 * 0.9 * 10 / 9 + expected - seen) / 10)
    third = 0.1 * 0.9**3 - 0.9 * 0.1**3 + (4 + 216) / 10 * rate - 1 / 10
    assert result.third == pytest.approx(third / 100)


def test_equal_weights_give_nearly_wilsons_interval() -> None:
    click = np.array([1.0] * 20 + [0.0] * 980)
    low, high = interval(cumulants(np.ones(1000), click), True)
    exact = binomtest(20, 1000).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high), rel=0.05)


def test_without_spread_there_is_a_point() -> None:
    assert interval(Cumulants(0.3, 0.0, 0.0), True) == (0.3, 0.3)


class Cell(NamedTuple):
    """A kind of log, and whether the normal interval of inverse propensity scoring is seen to fail on it."""

    rate: float
    skew: float  # of the logging policy
    sharp: float  # of the target policy
    normal_fails: bool


CELLS = [Cell(0.005, 0.0, 1.0, False), Cell(0.005, 1.0, 2.0, True), Cell(0.02, 1.5, 1.0, True)]


def policy(logits: AnyArray) -> AnyArray:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(0.92 * raised / raised.sum(-1, keepdims=True) + 0.08 / logits.shape[-1])


def simulate(cell: Cell, seed: int) -> tuple[float, list[Estimate], tuple[float, float]]:
    """Return the truth, the estimates, and the normal interval."""
    world, rng = World(Config(rate=cell.rate, users=500), seed), np.random.default_rng([seed, 1])
    shape = world.rates.shape
    logging, target = policy(rng.normal(0, 1, shape) * cell.skew), policy(rng.normal(0, 1, shape) * cell.sharp)
    log = world.log(lambda situations: situations.look_up(logging), 10_000, step=5000)
    probabilities, rows = log.contexts.look_up(target), np.arange(10_000)
    fitted = cross_fit(Rates(log.contexts.segment, log.action, log.reward, shape[-1]), folds=2)
    expected = sum(fitted.predict(np.full(10_000, a)) * probabilities[:, a] for a in range(shape[-1]))
    probability = probabilities[rows, log.action]
    result = [
        ips(log.reward, log.propensity, probability),
        snips(log.reward, log.propensity, probability),
        doubly_robust(log.reward, log.propensity, probability, fitted.predict(log.action), np.asarray(expected)),
    ]
    terms = probability / log.propensity * log.reward
    error = 1.96 * terms.std() / 100
    return log.true_value(probabilities), result, (terms.mean() - error, terms.mean() + error)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.rate}-{cell.skew}-{cell.sharp}")
def test_intervals_hold_the_truth(cell: Cell) -> None:
    """
    At 95 %, 400 logs lie between 92.5 and 97.5 % with probability 0.98. The normal interval falls short of it where
    weights are skewed, so the bound tells a broken interval from a sound one.
    """
    held, normal, trusted = np.zeros(3), 0, 0
    for seed in range(LOGS):
        truth, result, (low, high) = simulate(cell, seed)
        held += [estimate.low <= truth <= estimate.high for estimate in result]
        normal += low <= truth <= high
        trusted += result[0].trustworthy
    assert ((held / LOGS >= 0.925) & (held / LOGS <= 0.975)).all(), held / LOGS
    assert (normal / LOGS < 0.925) == cell.normal_fails, normal / LOGS
    assert trusted / LOGS > 0.5


@pytest.mark.slow
def test_intervals_by_user_hold_the_truth_where_users_differ() -> None:
    """300 users have eight rows on average and click rates from 0 to 40 %; the mean rate is 5 %."""
    held = np.zeros(2)
    for seed in range(LOGS):
        rng = np.random.default_rng(seed)
        user = np.repeat(np.arange(300), rng.geometric(1 / 8, 300))
        one, clicked = np.ones(len(user)), (rng.random(len(user)) < rng.beta(0.5, 9.5, 300)[user]).astype(float)
        result = [ips(clicked, one, one, clusters=clusters) for clusters in (None, Clusters(one, user))]
        held += [estimate.low <= 0.05 <= estimate.high for estimate in result]
    by_row, by_user = held / LOGS
    assert by_row < 0.85
    assert 0.925 <= by_user <= 0.975
