"""The difference of two periods: its size by hand, and p-values that are uniform without drift."""

import math

import numpy as np
import pytest
from tests.support.drift_samples import make_feature, make_sample

from adloom.drift.difference import find_p_value, measure_difference, measure_error
from adloom.drift.features import FeatureSample


def test_psi_and_chi_square_of_names_by_hand() -> None:
    feature = make_feature(make_sample(["a"] * 500 + ["b"] * 500), make_sample(["a"] * 800 + ["b"] * 200))
    difference = measure_difference(feature)
    assert difference.psi == pytest.approx(0.3 * math.log(1.6) + 0.3 * math.log(2.5), rel=0.01)
    assert difference.statistic == pytest.approx(0.3**2 / 0.65 + 0.3**2 / 0.35)
    assert difference.p_value < 1e-12


def test_the_energy_distance_of_ranks_by_hand() -> None:
    """All 32 bins lie on one side: the distributions differ by (2k - 1) / 32 at the k-th of 16 bins on each side."""
    difference = measure_difference(make_feature(make_sample(np.arange(320.0)), make_sample(np.arange(320.0, 640))))
    assert difference.statistic == pytest.approx(2 / 3, rel=0.01)


def test_a_sum_of_one_dimension_has_the_p_value_of_a_normal_test() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0.1, 1, (400, 1))
    score = rows.sum() / math.sqrt((rows**2).sum() * 400 / 399)
    assert find_p_value(rows) == pytest.approx(math.erfc(abs(score) / math.sqrt(2)), rel=1e-6)
    assert find_p_value(np.zeros((5, 2))) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["numbers", "names", "embeddings"])
def test_p_values_are_uniform_without_drift_though_users_repeat(kind: str) -> None:
    rng = np.random.default_rng(3)

    def draw(taste: np.ndarray) -> FeatureSample:
        user = rng.integers(len(taste), size=600)
        values = taste[user] + rng.normal(size=600)
        shapes = {"numbers": values, "names": np.where(values > 0, "a", "b").astype(object)}
        embedding = values[:, None] * np.linspace(-1, 1, 6) + rng.normal(size=(600, 6))
        return FeatureSample(shapes.get(kind, embedding), user, np.ones(600))

    found = [
        measure_difference(make_feature(draw(rng.normal(size=150)), draw(rng.normal(size=150)))).p_value
        for _ in range(150)
    ]
    assert 0.01 <= np.mean(np.array(found) < 0.1) <= 0.18


def test_rows_of_one_user_count_as_one_observation() -> None:
    """A hundred rows of each of ten users say no more than ten rows do."""
    values = np.array([0.0, 1.0] * 5)
    single, repeated = make_sample(values), make_sample(values.repeat(100), np.arange(10).repeat(100))
    assert measure_error(repeated) == pytest.approx(measure_error(single))
    assert measure_error(single, single) == 0  # the same users in both periods
