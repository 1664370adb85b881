"""Shrinkage: numbers worked by hand, variances of simulated creatives, and creatives of a single placement."""

import numpy as np
import pytest

from adloom.arrays import AnyArray
from adloom.policy.shrinkage import Ratios, estimate_variance, shrink


def test_a_ratio_is_between_its_own_and_its_parents() -> None:
    ratios = shrink(np.array([30.0, 3.0, 0.0]), np.array([10.0, 1.0, 0.0]), 0.5, 1.0, np.ones(3))
    assert ratios.tolist() == pytest.approx([16 / 6, 2.5 / 1.5, 1.0])
    assert shrink(np.array([30.0]), np.array([10.0]), 0.0, 1.0, np.array([0.8])).tolist() == [0.8]


def test_the_variance_by_hand() -> None:
    deviation, expected = np.array([0.5, -0.5]), np.array([20.0, 20.0])
    assert estimate_variance(deviation, expected, np.array([0.5, 0.5]), 1.0) == pytest.approx((10 - 1) / 20)
    assert estimate_variance(deviation / 10, expected, np.array([0.5, 0.5]), 1.0) == 0.0
    assert estimate_variance(deviation, expected, np.zeros(2), 1.0) == 0.0


def draw_rewards(seed: int, true: AnyArray, expected: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return clicks of true ratios (placements, creatives), and those expected from the placements' rates."""
    clicks = np.random.default_rng(seed).poisson(true * expected)
    rates = clicks.sum(1, keepdims=True) / np.maximum(expected.sum(1, keepdims=True), 1e-9)
    return clicks.astype(float), rates * expected


def test_the_spread_of_creatives_is_found() -> None:
    true = np.random.default_rng(0).gamma(4, 0.25, 200)  # variance 1/4
    result = Ratios.fit(*draw_rewards(1, np.tile(true, (2, 1)), np.full((2, 200), 40.0)), np.zeros(200, int), 1, 1.0)
    assert result.spread == pytest.approx(0.5, abs=0.06)
    assert np.corrcoef(result.own, true)[0, 1] > 0.97
    assert result.by_placement == pytest.approx(np.tile(result.own, (2, 1)), abs=0.1)


def test_creatives_of_one_placement_each_are_compared_within_it() -> None:
    """100 placements with four creatives of their own: the rates of placements cost a quarter of the evidence."""
    rng, placements = np.random.default_rng(0), np.arange(400) // 4
    own = np.arange(100)[:, None] == placements
    result = Ratios.fit(*draw_rewards(1, rng.gamma(4, 0.25, 400) * own, 40.0 * own), np.zeros(400, int), 1, 1.0)
    assert result.spread == pytest.approx(0.5, abs=0.1)
    assert result.by_placement[own] == pytest.approx(result.own)


def test_one_creative_per_placement_teaches_nothing() -> None:
    expected = np.diag([100.0, 50.0])
    result = Ratios.fit(expected, expected, np.zeros(2, int), 1, 1.0)
    assert (result.spread, result.own.tolist(), result.prior.tolist()) == (0.0, [1.0, 1.0], [1.0])


def test_a_new_creative_is_like_the_mean_creative_not_like_the_mean_impression() -> None:
    expected = np.array([[9000.0, 500.0, 500.0]])  # the best is shown most
    result = Ratios.fit(np.array([[9600.0, 200.0, 200.0]]), expected, np.zeros(3, int), 1, 1.0)
    assert result.prior[0] == pytest.approx((9600 / 9000 + 0.4 + 0.4) / 3, rel=0.05)


def test_categories_explain_their_creatives() -> None:
    group = np.array([0, 0, 0, 1, 1, 1])
    reward = np.array([[190.0, 200, 210, 95, 100, 105]])
    result = Ratios.fit(reward, np.full((1, 6), 150.0), group, 3, 1.0)
    assert result.spread == 0
    assert result.prior.tolist() == pytest.approx([4 / 3, 2 / 3, 1], abs=0.02)
    assert result.own.tolist() == pytest.approx(result.prior[group].tolist())
