"""Sums that no order and no split of the rows changes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.audience.exact_sums import sum_groups

NUMBERS = st.floats(-1e15, 1e15).map(lambda value: round(value, 6))


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.integers(0, 30), st.randoms())
def test_sums_are_exact_in_any_order_and_batches(values: list[float], split: int, random: object) -> None:
    column = np.array(values)[:, None]
    group = np.arange(len(values)) % 2
    order = np.random.default_rng(split).permutation(len(values))
    once = sum_groups([(column, group)], 2, 1)
    shuffled = [(column[part], group[part]) for part in (order[:split], order[split:])]
    assert sum_groups(shuffled, 2, 1).tolist() == once.tolist()
    expected = [math.fsum(column[group == i, 0]) for i in (0, 1)]
    assert once[:, 0].tolist() == pytest.approx(expected, rel=1e-15, abs=1e-15)


def test_a_group_without_rows_sums_to_zero() -> None:
    assert sum_groups([(np.array([[0.1, 2], [0.2, 3]]), np.array([2, 2]))], 3, 2).tolist() == [
        [0, 0], [0, 0], [pytest.approx(0.3), 5],
    ]  # fmt: skip
    assert sum_groups([], 1, 2).tolist() == [[0, 0]]
