"""Statistics of weighted rows, against numbers worked by hand and rows that are really repeated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.evaluation import statistics

ONES = np.ones(4)


def test_mean_of_weighted_rows() -> None:
    assert statistics.mean(np.array([1.0, 2.0, 6.0]), np.array([2.0, 0.0, 1.0])) == pytest.approx(8 / 3)


def test_mean_of_booleans_is_a_share() -> None:
    assert statistics.mean(np.array([True, False, True, True]), ONES) == 0.75


def test_ratio_divides_sums_and_not_rows() -> None:
    bits, characters = np.array([10.0, 2.0]), np.array([4.0, 2.0])
    assert statistics.ratio(bits, characters, np.ones(2)) == 2.0
    assert statistics.ratio(bits, characters, np.array([1.0, 3.0])) == pytest.approx(16 / 10)


def test_auc_counts_ordered_pairs_and_half_of_ties() -> None:
    # positives 0.8 and 0.5, negatives 0.5 and 0.2: three pairs ordered, one tied
    label, score = np.array([1, 1, 0, 0]), np.array([0.8, 0.5, 0.5, 0.2])
    assert statistics.auc(label, score, ONES) == pytest.approx(3.5 / 4)
    assert statistics.auc(label.astype(bool), score, ONES) == pytest.approx(3.5 / 4)


def test_auc_of_equal_scores_is_chance() -> None:
    assert statistics.auc(np.array([1, 0, 1, 0]), np.zeros(4), ONES) == 0.5


def test_undefined_statistics_are_nan() -> None:
    assert math.isnan(statistics.auc(ONES, np.arange(4.0), ONES))
    assert math.isnan(statistics.mean(ONES, np.zeros(4)))
    assert math.isnan(statistics.ratio(ONES, np.zeros(4), ONES))


rows = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30)


@given(rows)
def test_a_weight_is_a_repetition(rows: list[tuple[bool, int, int]]) -> None:
    label, score, times = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(times.sum())
    for statistic in (statistics.auc, statistics.ratio):
        repeated = statistic(np.repeat(label, times), np.repeat(score, times), ones)
        assert statistic(label, score, times.astype(float)) == pytest.approx(repeated, nan_ok=True)


@given(rows)
def test_auc_of_reversed_scores_is_its_complement(rows: list[tuple[bool, int, int]]) -> None:
    label, score, times = (np.array(column) for column in zip(*rows, strict=True))
    forward = statistics.auc(label, score, times.astype(float))
    assert statistics.auc(label, -score, times.astype(float)) == pytest.approx(1 - forward, nan_ok=True)
