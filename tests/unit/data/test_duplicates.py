"""Repeated keys are found over chunks of any size, and over more of them than the table has slots at first."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.data import duplicates
from adloom.data.duplicates import FIRST_SLOTS, DuplicateFinder


def test_duplicates_are_detected_across_chunks() -> None:
    repeats = DuplicateFinder()
    assert list(repeats(pd.Series(["a", "b", "a", None, None]))) == [False, False, True, False, False]
    assert list(repeats(pd.Series(["b", "c"]))) == [True, False]


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_chunks_do_not_change_duplicates(keys: list[int], size: int) -> None:
    whole = list(DuplicateFinder()(pd.Series(keys, dtype="int64")))
    repeats = DuplicateFinder()
    parts = [repeats(pd.Series(keys[start : start + size], dtype="int64")) for start in range(0, len(keys), size)]
    assert [bool(value) for part in parts for value in part] == whole


def test_the_table_grows_with_the_keys() -> None:
    repeats, keys = DuplicateFinder(), pd.Series(range(3 * FIRST_SLOTS)).astype("str")
    for start in range(0, len(keys), FIRST_SLOTS // 4):
        assert not repeats(keys[start : start + FIRST_SLOTS // 4]).any()
    assert repeats(keys).all()
    assert not repeats(keys + "0000000").any()


@pytest.mark.parametrize("block", [1, 50, 10_000])
def test_keys_beyond_the_table_are_found_late_and_exactly(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(duplicates, "FIRST_SLOTS", 16)
    monkeypatch.setattr(duplicates, "MAX_SLOTS", 64)
    monkeypatch.setattr(duplicates, "BLOCK", block)
    keys = pd.Series(np.random.default_rng(5).integers(0, 900, 1000).tolist(), range(1, 1001), "Int64").mask(
        lambda k: k < 9
    )
    repeats = DuplicateFinder()
    found = pd.concat([repeats(keys[start : start + 30]) for start in range(0, 1000, 30)])
    late = repeats.find_late()
    assert len(late) > 100
    assert not found[late].any()
    found[late] = True
    pd.testing.assert_series_equal(found, keys.duplicated() & keys.notna(), check_dtype=False)
