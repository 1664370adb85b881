"""Medians of groups from batches, equal to NumPy's of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adloom.arrays import Float64Array
from adloom.audience.medians import find_medians

VALUES = st.one_of(st.just(np.nan), st.floats(0, 1e6), st.sampled_from([0.0, -0.0, 1.0, 2.0]))


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=VALUES), st.integers(1, 40))
def test_medians_are_those_of_numpy(values: Float64Array, size: int) -> None:
    group = np.arange(len(values)) % 3
    batches = [values[start : start + size] for start in range(0, len(values), size)]
    found = find_medians(batches, group, 3)
    for i in range(3):
        for column in range(2):
            known = values[group == i, column]
            known = known[~np.isnan(known)]
            assert found[i, column] == (np.median(known) if len(known) else pytest.approx(np.nan, nan_ok=True))


def test_few_values_have_no_median() -> None:
    values = np.array([[1.0], [3.0], [np.nan]])
    assert find_medians([values], np.zeros(3, int), 1, smallest=2).tolist() == [[2.0]]
    assert np.isnan(find_medians([values], np.zeros(3, int), 1, smallest=3)).all()
