"""Bootstrap intervals: known truths are covered, bias is corrected, pairs cancel what they share."""

import numpy as np
import pytest

from adloom.arrays import AnyArray
from adloom.evaluation.intervals import bootstrap, bootstrap_difference, wilson_interval
from adloom.evaluation.metric import Sample
from adloom.evaluation.statistics import auc, mean


def shares(values: AnyArray) -> Sample:
    return Sample((values,), mean, "share")


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    metric = bootstrap(shares(np.arange(1000) < 900), draws=2000, seed=1)
    assert (metric.value, metric.n, metric.unit) == (0.9, 1000, "share")
    error = 1.96 * np.sqrt(0.9 * 0.1 / 1000)  # 0.0186
    assert metric.low == pytest.approx(0.9 - error, abs=0.002)
    assert metric.high == pytest.approx(0.9 + error, abs=0.002)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    sample = shares(np.random.default_rng(0).random(200))
    assert bootstrap(sample, 100, seed=1) == bootstrap(sample, 100, seed=1)
    assert bootstrap(sample, 100, seed=1) != bootstrap(sample, 100, seed=2)


def test_nothing_seen_does_not_mean_impossible() -> None:
    none, all_ = bootstrap(shares(np.zeros(5000)), 50, seed=1), bootstrap(shares(np.ones(5000)), 50, seed=1)
    assert (none.value, none.low) == (0.0, 0.0)
    assert (1 - none.high) ** 5000 == pytest.approx(0.025)  # at this rate, no row in 5,000 has a chance of 2.5 %
    assert (all_.low, all_.high) == pytest.approx((1 - none.high, 1.0), rel=1e-9)


@pytest.mark.slow
def test_intervals_cover_a_known_truth() -> None:
    """A skewed distribution: 95 % are asked for, 400 samples tell that to within 2 %, and skew costs some."""
    rng = np.random.default_rng(5)
    metrics = [bootstrap(Sample((rng.exponential(size=300),), mean, "ratio"), 200, seed=i) for i in range(400)]
    assert 0.91 <= np.mean([metric.low <= 1 <= metric.high for metric in metrics]) <= 0.98


@pytest.mark.slow
def test_auc_intervals_cover_a_known_truth() -> None:
    """Positives are N(1, 1) and negatives N(0, 1): the true AUC is Phi(1/sqrt 2) = 0.7602."""
    rng = np.random.default_rng(6)
    covered = []
    for i in range(200):
        label = rng.random(300) < 0.3
        metric = bootstrap(Sample((label, rng.normal(label, 1.0)), auc, "auc"), 200, seed=i)
        covered.append(metric.low <= 0.7602 <= metric.high)
    assert 0.91 <= np.mean(covered) <= 0.99


def test_a_metric_that_resampling_worsens_keeps_its_value_inside() -> None:
    """|mean - 1/2| of a fair coin is nearly 0, of a resample never: plain percentiles would lie above the value."""

    def distance_from_fair(values: AnyArray, weights: AnyArray) -> float:
        return abs(mean(values, weights) - 0.5)

    sample = Sample((np.arange(1000) % 2 == 0,), distance_from_fair, "distance")
    metric = bootstrap(sample, 500, seed=1)
    assert metric.low <= metric.value == 0 <= metric.high < 0.01


def test_a_difference_of_equal_models_is_zero_for_certain() -> None:
    sample = shares(np.random.default_rng(0).random(500))
    difference = bootstrap_difference(sample, sample, 100, seed=1)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_paired_intervals_are_narrower_than_separate_ones() -> None:
    rng = np.random.default_rng(3)
    champion = rng.random(2000) < 0.7
    candidate = champion | (rng.random(2000) < 0.03)  # right on all its rows, and on a few more
    difference = bootstrap_difference(shares(candidate), shares(champion), 500, seed=1)
    assert difference.low > 0
    assert bootstrap(shares(candidate), 500, 1).low < bootstrap(shares(champion), 500, 1).high


@pytest.mark.slow
def test_paired_differences_cover_a_known_truth() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for i in range(300):
        hard = rng.random(300)  # a row's difficulty is shared by both models
        candidate, champion = (rng.random(300) < share * hard for share in (0.9, 0.8))
        difference = bootstrap_difference(shares(candidate), shares(champion), 200, seed=i)
        covered.append(difference.low <= 0.05 <= difference.high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_rare_classes_may_be_missing_from_a_draw() -> None:
    metric = bootstrap(Sample((np.array([1, 0, 0, 0]), np.array([3.0, 1.0, 2.0, 0.0])), auc, "auc"), 100, seed=1)
    assert metric.value == metric.high == 1


def test_samples_that_cannot_be_measured_say_why() -> None:
    with pytest.raises(ValueError, match=r"\[0\] rows, expected one length above 0"):
        bootstrap(shares(np.zeros(0)), 20, seed=1)
    with pytest.raises(ValueError, match=r"\[1, 2\] rows"):
        bootstrap(Sample((np.zeros(1), np.zeros(2)), auc, "auc"), 20, seed=1)
    with pytest.raises(ValueError, match="metric of 3 rows: nan, expected a finite number"):
        bootstrap(Sample((np.zeros(3), np.zeros(3)), auc, "auc"), 20, seed=1)
    with pytest.raises(ValueError, match="3 rows against 2"):
        bootstrap_difference(shares(np.zeros(3)), shares(np.zeros(2)), 20, seed=1)


@pytest.mark.parametrize(
    ("hits", "rows", "expected"),
    [(0, 0, (0, 1)), (0, 10, (0, 0.27753)), (5, 10, (0.23659, 0.76341)), (1, 1, (0.20655, 1))],
)
def test_wilson_interval(hits: int, rows: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(hits, rows) == pytest.approx(expected, abs=1e-5)
