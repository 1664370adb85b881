"""Rates by empirical Bayes: shrinkage by hand, and predictions that never saw the row they are for."""

import numpy as np
import pandas as pd
import pytest

from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.reward_model import Rates, cell_indices, cross_fit, shrink


def test_shrinkage_by_hand() -> None:
    """Two groups of ten, 2 and 6 clicks: within 4/18, between (0.8 - 2 * 4/18) / 20, so 12.5 pseudo-rows at 0.4."""
    ten, clicks = np.array([10.0, 10.0]), np.array([2.0, 6.0])
    result = shrink(ten, clicks, clicks, np.array([0.4, 0.4]))
    assert result == pytest.approx([(2 + 5) / 22.5, (6 + 5) / 22.5])


def test_groups_that_do_not_differ_are_their_parent() -> None:
    ten, clicks = np.array([10.0, 10.0, 10.0]), np.array([3.0, 4.0, 3.0])
    assert shrink(ten, clicks, clicks, np.full(3, 1 / 3)) == pytest.approx(np.full(3, 1 / 3), abs=1e-6)


def test_a_group_without_rows_is_its_parent() -> None:
    clicks = np.array([10.0, 60.0, 0.0])
    result = shrink(np.array([100.0, 100.0, 0.0]), clicks, clicks, np.array([0.35, 0.35, 0.2]))
    assert result[2] == 0.2
    assert result[:2] == pytest.approx([0.1, 0.6], abs=0.01)


def test_rates_detect_real_differences() -> None:
    rng = np.random.default_rng(1)
    cell, action = rng.integers(2, size=20_000), rng.integers(3, size=20_000)
    rate = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    reward = (rng.random(20_000) < rate[cell, action]).astype(float)
    predicted = cross_fit(Rates(cell, action, reward, 3)).predict(action)
    assert predicted == pytest.approx(rate[cell, action], abs=0.03)


def test_a_row_is_predicted_by_the_others() -> None:
    cell, action = np.arange(40) % 2, np.arange(40) % 3
    reward = (np.arange(40) % 4 == 0).astype(float)
    before = cross_fit(Rates(cell, action, reward, 3), folds=3).predict(action)
    for row in range(40):
        changed = np.where(np.arange(40) == row, 9.0, reward)
        after = cross_fit(Rates(cell, action, changed, 3), folds=3).predict(action)
        assert after[row] == before[row]
        assert (after != before).any()


@pytest.mark.parametrize("folds", [1, 6])
def test_folds_must_fit_the_rows(folds: int) -> None:
    zeros = np.zeros(5, np.int64)
    with pytest.raises(DataError, match=f"folds: {folds} of 5 impressions"):
        cross_fit(Rates(zeros, zeros, np.zeros(5), 1), folds)


def test_the_impressions_of_a_weighted_row_are_spread_over_the_folds() -> None:
    zeros, clusters = np.zeros(3, np.int64), Clusters(np.array([1.0, 10_000, 2.0]), np.full(3, -1))
    fitted = cross_fit(Rates(zeros, zeros, np.array([0.0, 1.0, 0.0]), 1), clusters=clusters)
    assert fitted.share.sum(0) == pytest.approx(1)
    assert sorted(fitted.share[:, 0]) == [0, 0, 0, 0, 1]
    assert fitted.share[:, 1] == pytest.approx(0.2, abs=0.02)


def test_contexts_are_numbered() -> None:
    frame = pd.DataFrame({"x": ["a", "b", "a", None], "y": [1, 1, 1, 2]})
    assert cell_indices(frame).tolist() == [0, 1, 0, 2]
    assert cell_indices(frame[[]]).tolist() == [0, 0, 0, 0]
