"""Statistics of a log: merged parts equal the whole, and nothing counts twice."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.log_statistics import click_rows, shown_rows

from adloom.policy.statistics import ImpressionStatistics, merge_cells

Row = tuple[str, str | None, int, bool]

rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", None]), st.integers(1, 2), st.booleans()), max_size=8
)


def to_cells(drawn: list[Row]) -> pd.DataFrame:
    creative, device, position, clicked = zip(*drawn, strict=True) if drawn else ((),) * 4
    shown = shown_rows(range(len(drawn)), creative_id=creative, ctx_device=device, position=position)
    return ImpressionStatistics.empty().add(shown, click_rows(np.flatnonzero(clicked).tolist()), 2).cells


@pytest.mark.slow
@settings(max_examples=10)
@given(rows, rows, rows)
def test_merging_is_associative_and_equals_a_full_count(first: list[Row], second: list[Row], third: list[Row]) -> None:
    one, two, three = map(to_cells, (first, second, third))
    left = merge_cells([merge_cells([one, two]), three])
    pd.testing.assert_frame_equal(left, merge_cells([one, merge_cells([three, two])]))
    pd.testing.assert_frame_equal(left, merge_cells([to_cells([*first, *second, *third])]))


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.integers(0, 9), max_size=4), st.permutations(range(10)), st.data())
def test_segments_in_any_grouping_and_order_count_as_the_whole_log(
    cuts: list[int], order: list[int], data: st.DataObject
) -> None:
    clicked = data.draw(st.lists(st.sampled_from(range(10)), unique=True))
    device = ["phone", "tablet"]
    shown = shown_rows(range(10), ctx_device=[device[i % 2] for i in range(10)], hour=[100 + i % 3 for i in range(10)])
    whole = ImpressionStatistics.empty().add(shown, click_rows(clicked), 9)
    parts, bounds = ImpressionStatistics.empty(), sorted({0, *cuts, 10})
    for first, last in pairwise(bounds):
        late = [key for i, key in enumerate(clicked) if first <= i < last]  # before or after their impressions
        parts = parts.add(shown.iloc[order[first:last]], click_rows(late), 9)
    pd.testing.assert_frame_equal(parts.cells, whole.cells)
    pd.testing.assert_frame_equal(parts.to_impressions(), whole.to_impressions())


def test_retries_and_repeated_clicks_count_once() -> None:
    first = ImpressionStatistics.empty().add(shown_rows([1, 1, 2]), click_rows([1, 1]), 2)
    again = first.add(shown_rows([2, 3]), click_rows([1, 2]), 2)
    assert (first.impressions, first.clicks) == (2, 1)
    assert (again.impressions, again.clicks) == (3, 2)


def test_a_click_after_its_hours_does_not_count() -> None:
    first = ImpressionStatistics.empty().add(shown_rows([1, 2]), click_rows([]), 2)
    later = first.add(shown_rows([3], hour=103), click_rows([]), 2).add(shown_rows([]), click_rows([1], 103), 2)
    assert (later.impressions, later.clicks, len(later.pending)) == (3, 0, 1)


def test_closed_cells_forget_what_only_the_evaluation_needs() -> None:
    first = ImpressionStatistics.empty().add(shown_rows([1, 2], propensity=[0.2, 0.4]), click_rows([2]), 2)
    later = first.add(shown_rows([3], hour=103), click_rows([]), 2)
    assert later.cells[["hour", "shown", "clicked"]].to_numpy().tolist() == [[-1, 2, 1], [103, 1, 0]]
    assert later.to_evaluation(held_out=False)["propensity"].tolist() == [pytest.approx(1 / 3)]
    assert later.to_impressions()["weight"].sum() == 3


def test_rare_values_of_closed_cells_become_unknown() -> None:
    device = ["phone"] * 999 + ["fridge"]
    first = ImpressionStatistics.empty().add(shown_rows(range(1000), ctx_device=device), click_rows([]), 2)
    closed = first.add(shown_rows([2000], hour=103), click_rows([]), 2).cells
    assert closed["ctx_device"].fillna("unknown").tolist() == ["phone", "unknown", "phone"]


def test_the_share_of_arrived_clicks_worked_by_hand() -> None:
    shown = shown_rows(range(12), hour=[100] * 4 + [101] * 4 + [102] * 4)
    clicks = click_rows([0, 1, 2, 4, 5, 8], [100, 101, 102, 101, 102, 102])
    arrival = ImpressionStatistics.empty().add(shown, clicks, 2).estimate_arrival()
    # Of hours 100 and 101, two clicks came at once and two an hour later; of hour 100, then another one.
    assert arrival == pytest.approx([2 / 4 * 2 / 3, 2 / 3, 1])


def test_an_open_impression_counts_by_the_share_of_its_clicks_that_arrived() -> None:
    shown = shown_rows(range(8), hour=[100] * 4 + [101] * 4)
    rows = ImpressionStatistics.empty().add(shown, click_rows([0, 1], [100, 101]), 2).to_impressions()
    assert rows.set_index("clicked")["weight"].to_dict() == {True: 2, False: pytest.approx(4 + 4 / 2 - 2)}


def test_saving_is_reversible(tmp_path: Path) -> None:
    statistics = ImpressionStatistics.empty().add(shown_rows([1, 2], ctx_device=["phone", None]), click_rows([2, 9]), 2)
    statistics.save(tmp_path)
    loaded = ImpressionStatistics.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.cells, statistics.cells)
    final, expected = (one.add(shown_rows([9]), click_rows([1]), 2).cells for one in (loaded, statistics))
    pd.testing.assert_frame_equal(final, expected)
    assert final["clicked"].sum() == 3


def test_feedback_counts_once_per_kind() -> None:
    sales = click_rows([1, 1, 2]).assign(kind="conversion")
    statistics = ImpressionStatistics.empty().add(shown_rows([1, 2, 3]), pd.concat([click_rows([1]), sales]), 2)
    assert statistics.cells[["shown", "clicked", "converted", "complained"]].to_numpy().tolist() == [[3, 1, 2, 0]]
    rows = statistics.to_evaluation(held_out=False, kind="conversion")
    assert rows.set_index("clicked")["weight"].to_dict() == {True: 2, False: 1}
