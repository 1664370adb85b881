"""Bots that `prepare` names are dropped from the events, or become members of a segment of their own."""

import json
from pathlib import Path

import numpy as np
from tests.support.toy_shops import events

from adloom.audience.bots import add_bots, drop_bots, find_bots, read_bots
from adloom.storage.table_scan import hold_rows

ROBOT, PERSON = "ab" * 16, "cd" * 16
EVENTS = events([(ROBOT, "2025-01-01", 1.0), (PERSON, "2025-01-02", 2.0), (ROBOT, "2025-01-03", 1.0)])


def test_bots_are_dropped_where_the_summary_names_them(tmp_path: Path) -> None:
    rows = hold_rows(EVENTS)
    assert read_bots(tmp_path) == []
    assert drop_bots(rows, tmp_path).count().to_pyarrow().as_py() == 3
    (tmp_path / "summary.json").write_text(json.dumps({"bots": [ROBOT[:16]]}), encoding="utf-8")
    assert drop_bots(rows, tmp_path)["user_id"].to_pyarrow().to_pylist() == [PERSON]


def test_bots_among_the_events_are_found() -> None:
    assert find_bots(hold_rows(EVENTS), [ROBOT[:16]]) == [ROBOT]


def test_bots_are_members_of_their_own_segment_in_the_order_of_users() -> None:
    members = [(["b", "d"], np.array([0, 1])), (["f"], np.array([0])), (list[str](), np.array([], int))]
    batches = [(users, segment.tolist()) for users, segment in add_bots(members, ["a", "c", "e", "g"], 2)]
    assert [user for users, _ in batches for user in users] == list("abcdefg")
    assert [number for _, segment in batches for number in segment] == [2, 0, 2, 1, 2, 0, 2]
