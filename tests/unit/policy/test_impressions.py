"""Impressions as arrays: what counts, what could have been shown, and in which situation."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.impression_tables import impressions_frame

from adloom.errors import DataError
from adloom.policy.impressions import UNKNOWN, ExclusionCounts, Impressions, read_impressions

HOUR = timedelta(hours=1)


def read_columns(**columns: Any) -> tuple[Impressions, ExclusionCounts]:
    rows = impressions_frame(**columns)
    return read_impressions(rows, [None] * len(rows), HOUR)


def test_a_table_becomes_arrays() -> None:
    data, left = read_columns(
        placement=["top", "side", "top", "side"],
        creative_id=["b", "a", "c", "d"],
        clicked=[True, False, False, True],
        position=[1, None, 2, 1],
        ctx_device=["phone", None, "tablet", "phone"],
    )
    assert data.creatives == ("a", "b", "c", "d")
    assert [[data.creatives[i] for i in data.sets[row]] for row in data.offered] == [
        ["b", "c"], ["a", "d"], ["b", "c"],
    ]  # fmt: skip
    assert data.shown.tolist() == [1, 0, 2]
    assert data.clicked.tolist() == [1, 0, 0]
    assert data.context["position"].tolist() == ["1", UNKNOWN, "2"]
    assert data.context["ctx_device"].tolist() == ["phone", UNKNOWN, "tablet"]
    assert "segment" not in data.context
    assert left == ExclusionCounts(immature=1, late=0, without_propensity=0, without_segment=3)


def test_candidates_of_a_row_are_its_own() -> None:
    data, _ = read_columns(
        placement=["top"] * 3, creative_id=["a", "b", "a"], candidates=[["c", "a"], ["c", "b"], None], hours=[0, 1, 9]
    )
    assert [[data.creatives[i] for i in data.sets[row]] for row in data.offered] == [["a", "c"], ["b", "c"]]


def test_young_impressions_and_late_clicks_do_not_count() -> None:
    data, left = read_columns(
        creative_id=["a", "b", "c", "d"],
        clicked=[True, True, True, True],
        hours=[0, 1, 2.5, 3],
        outcome=[0.5, 2.5, 2.6, 3.1],
        propensity=[0.5, 0.5, 0.5, 0.5],
    )
    assert data.clicked.tolist() == [1, 0]
    assert left == ExclusionCounts(immature=2, late=1, without_propensity=0, without_segment=2)


def test_rows_are_brought_into_the_order_of_their_time() -> None:
    data, _ = read_columns(creative_id=["a", "b", "c"], hours=[5, 1, 9])
    assert [data.creatives[i] for i in data.shown] == ["b", "a"]
    assert data.before(0.5).tolist() == [True, False]
    assert data.select(data.before(0.5)).shown.tolist() == [1]


def test_the_segments_of_users_belong_to_the_context() -> None:
    rows = impressions_frame(creative_id=["a", "b", "c", "d"], hours=[2, 1, 0, 9])
    data, left = read_impressions(rows, ["segment-1", None, "segment-2", None], HOUR)
    assert data.context["segment"].tolist() == ["segment-2", UNKNOWN, "segment-1"]
    assert left.without_segment == 1


def test_the_logged_segment_replaces_a_missing_one_and_is_no_context_itself() -> None:
    rows = impressions_frame(creative_id=["a", "b", "c", "d"], ctx_segment=["old-1", "old-2", None, None])
    data, left = read_impressions(rows, ["segment-1", None, None, None], HOUR)
    assert data.context["segment"].tolist() == ["segment-1", "old-2", UNKNOWN]
    assert "ctx_segment" not in data.context
    assert left.without_segment == 1


def test_without_propensities_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match=r"0 of 4 usable: 1 are younger .* 3 have no propensity; "):
        read_columns(creative_id=["a", "b", "c", "d"], propensity=[None] * 4)


def test_missing_propensities_are_left_out_and_counted() -> None:
    data, left = read_columns(creative_id=["a", "b", "c", "d"], propensity=[0.5, None, 0.25, 0.5])
    assert data.propensity.tolist() == [0.5, 0.25]
    assert left.without_propensity == 1


def test_one_table_gives_equal_arrays_whatever_the_order_of_its_rows() -> None:
    rows = impressions_frame(creative_id=list("abcabcab"), placement=list("xyxyxyxy"), hours=range(8))
    mixed = rows.sample(frac=1, random_state=1)
    one, other = (read_impressions(pd.DataFrame(r), [None] * 8, HOUR)[0] for r in (rows, mixed))
    assert one.creatives == other.creatives
    np.testing.assert_array_equal(one.shown, other.shown)
    assert [one.sets[i].tolist() for i in one.offered] == [other.sets[i].tolist() for i in other.offered]
