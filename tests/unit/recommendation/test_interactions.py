"""Item sequences read from events."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.support.item_events import event_rows, find_day, interact

from adloom.recommendation.interactions import UNKNOWN, pick_evenly, read_interactions
from adloom.storage.table_scan import hold_rows

ORDERS: dict[str, list[str | None]] = {"u1": ["b", "a", "b"], "u2": ["c"], "u3": [None, "a"]}


def test_sequences_are_by_user_and_time_without_missing_items() -> None:
    found = interact(ORDERS)
    assert (found.users.tolist(), found.items.tolist()) == (["u1", "u2", "u3"], ["a", "b", "c"])
    assert (found.starts.tolist(), found.item.tolist()) == ([0, 3, 4, 5], [1, 0, 1, 2, 0])
    assert found.time.tolist() == [find_day(day) for day in (0, 1, 2, 0, 1)]
    assert found.to_matrix().toarray().tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_refunds_are_no_interest() -> None:
    rows = event_rows(ORDERS)
    rows.loc[rows["item_id"] == "c", "event"] = "refund"
    assert read_interactions(hold_rows(rows)).users.tolist() == ["u1", "u3"]


def test_no_item_at_all() -> None:
    found = interact({"u1": [None], "u2": [None]})
    assert (len(found.users), len(found.items), found.starts.tolist()) == (0, 0, [0])


def test_rare_items_are_unknown_and_ties_go_by_name() -> None:
    found = read_interactions(hold_rows(event_rows({"u1": ["d", "c", "b", "b"]})), limit=2)
    assert found.items.tolist() == ["b", "c"]
    assert found.item.tolist() == [UNKNOWN, 1, 0, 0]


def test_the_order_of_equal_times_says_nothing_and_does_not_depend_on_the_rows() -> None:
    rows = event_rows({f"u{number}": ["a", "b"] for number in range(200)})
    rows["timestamp"] = rows["timestamp"].min()
    found = read_interactions(hold_rows(rows))
    again = read_interactions(hold_rows(rows.sample(frac=1, random_state=1)))
    assert found.item.tolist() == again.item.tolist()
    assert 60 < int((found.item[::2] == 0).sum()) < 140  # users whose first item is a


@given(st.integers(0, 400), st.integers(1, 50))
def test_a_sample_is_even(values: int, count: int) -> None:
    chosen = pick_evenly(np.arange(values), count)
    assert len(chosen) == len(set(chosen.tolist())) == min(values, count)
    assert len(chosen) < 2 or np.ptp(np.diff(chosen)) <= 1


def test_a_sample_of_users_keeps_their_events() -> None:
    sample = interact(ORDERS).sample(2)
    assert (sample.users.tolist(), sample.starts.tolist(), sample.item.tolist()) == (
        ["u1", "u3"],
        [0, 3, 4],
        [1, 0, 1, 0],
    )
