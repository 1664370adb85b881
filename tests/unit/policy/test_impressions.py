"""Impressions as arrays: what counts, what could have been shown, and in which situation."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.impression_tables import impressions_frame, read_frame, read_rows

from adloom.policy.impressions import ExclusionCounts, Impressions, read_impressions

HOUR = timedelta(hours=1)


def read_columns(**columns: Any) -> tuple[Impressions, ExclusionCounts]:
    return read_rows(impressions_frame(**columns), HOUR)


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
    assert data.reward.tolist() == [1, 0, 0]
    assert data.context["position"].tolist() == ["1", np.nan, "2"]
    assert data.context["ctx_device"].tolist() == ["phone", np.nan, "tablet"]
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
    assert data.reward.tolist() == [1, 0]
    assert left == ExclusionCounts(immature=2, late=1, without_propensity=0, without_segment=2)


def test_rows_are_brought_into_the_order_of_their_time() -> None:
    data, _ = read_columns(creative_id=["a", "b", "c"], hours=[5, 1, 9])
    assert [data.creatives[i] for i in data.shown] == ["b", "a"]
    first, rest = data.split(0.5)
    assert (first.shown.tolist(), rest.shown.tolist()) == ([1], [0])


def test_the_segments_of_users_belong_to_the_context() -> None:
    rows = impressions_frame(creative_id=["a", "b", "c", "d"], hours=[2, 1, 0, 9])
    data, left = read_rows(rows.assign(segment=pd.Series(["segment-1", None, "segment-2", None])), HOUR)
    assert data.context["segment"].tolist() == ["segment-2", np.nan, "segment-1"]
    assert left.without_segment == 1


def test_the_logged_segment_replaces_a_missing_one_and_is_no_context_itself() -> None:
    rows = impressions_frame(creative_id=["a", "b", "c", "d"], ctx_segment=["old-1", "old-2", None, None])
    data, left = read_rows(rows.assign(segment=pd.Series(["segment-1", None, None, None])), HOUR)
    assert data.context["segment"].tolist() == ["segment-1", "old-2", np.nan]
    assert "ctx_segment" not in data.context
    assert left.without_segment == 1


def test_a_log_without_propensities_is_read_whole_for_their_estimation() -> None:
    data, left = read_columns(creative_id=["a", "b", "c", "d"], propensity=[None] * 4)
    assert (len(data), left.immature, left.without_propensity) == (3, 1, 0)
    assert np.isnan(data.propensity).all()
    assert data.propensity_estimated.all()


def test_missing_propensities_are_left_out_and_counted() -> None:
    data, left = read_columns(creative_id=["a", "b", "c", "d"], propensity=[0.5, None, 0.25, 0.5])
    assert data.propensity.tolist() == [0.5, 0.25]
    assert not data.propensity_estimated.any()
    assert left.without_propensity == 1


def test_one_table_gives_equal_arrays_whatever_the_order_of_its_rows() -> None:
    rows = impressions_frame(creative_id=list("abcabcab"), placement=list("xyxyxyxy"), hours=range(8))
    mixed = rows.sample(frac=1, random_state=1)
    one, other = (read_rows(pd.DataFrame(r), HOUR)[0] for r in (rows, mixed))
    assert one.creatives == other.creatives
    np.testing.assert_array_equal(one.shown, other.shown)
    assert [one.sets[i].tolist() for i in one.offered] == [other.sets[i].tolist() for i in other.offered]


@pytest.mark.parametrize("size", [1, 3, 8])
def test_chunks_of_any_size_give_equal_arrays(size: int) -> None:
    rows = impressions_frame(
        creative_id=list("abcabcab"), placement=list("xyxyxyxy"), user_id=[None, *"uvuvuvu"],
        ctx_device=[*"ppq", *[None] * 5],
        candidates=[["a", "d"], None, ["c", "a"], ["c", "a"], None, ["e", "c"], ["a"], ["b"]], clicked=[True] * 8,
    )  # fmt: skip
    whole, counts = read_rows(rows, HOUR)
    chunks = [rows[start : start + size].dropna(axis=1, how="all") for start in range(0, 8, size)]
    data, others = read_impressions(lambda columns: chunks, HOUR)
    assert others == counts
    assert data.creatives == whole.creatives
    assert {name: values.tolist() for name, values in data.context.items()} == {
        name: values.tolist() for name, values in whole.context.items()
    }
    assert [data.sets[i].tolist() for i in data.offered] == [whole.sets[i].tolist() for i in whole.offered]
    assert data.user.tolist() == whole.user.tolist()


def test_users_are_numbered_and_unknown_ones_are_not() -> None:
    data = read_frame(creative_id=list("abab"), user_id=["u", None, "v", "u"])
    assert data.user[0] == data.user[3]
    assert data.user[1] == -1
    assert len({*data.user.tolist()}) == 3


def test_a_weight_is_a_number_of_impressions() -> None:
    data, left = read_columns(
        creative_id=["a", "b", "a", "b", "a"], weight=[100, None, 7, 2, 50], clicked=[True, False, False, True, False],
        propensity=[0.5, 0.5, None, 0.5, 0.5], hours=[0, 1, 2, 3, 4],
    )  # fmt: skip
    assert data.weight.tolist() == [100, 1, 2]
    assert (data.count, data.rewarded) == (103, 102)
    assert left == ExclusionCounts(immature=50, late=0, without_propensity=7, without_segment=103)
