"""Bots that `prepare` names are dropped from the events, or become members of a segment of their own."""

import json
from pathlib import Path

import numpy as np
from tests.support.toy_shops import events

from adloom.audience.bots import add_bots, drop_bots, read_bots
from adloom.audience.segment_index import SegmentIndex
from adloom.storage.table_scan import hold_rows

ROBOT, PERSON = "ab" * 16, "cd" * 16
EVENTS = events([(ROBOT, "2025-01-01", 1.0), (PERSON, "2025-01-02", 2.0), (ROBOT, "2025-01-03", 1.0)])


def test_bots_are_dropped_where_the_summary_names_them(tmp_path: Path) -> None:
    rows = hold_rows(EVENTS)
    assert read_bots(tmp_path) == []
    assert drop_bots(rows, tmp_path).count().to_pyarrow().as_py() == 3
    (tmp_path / "summary.json").write_text(json.dumps({"bots": [ROBOT[:16]]}), encoding="utf-8")
    assert drop_bots(rows, tmp_path)["user_id"].to_pyarrow().to_pylist() == [PERSON]


def test_bots_are_members_of_their_own_segment() -> None:
    index = SegmentIndex.build([PERSON], np.array([1]), ("segment-1", "segment-2"))
    with_bots = add_bots(index, hold_rows(EVENTS), [ROBOT[:16]])
    assert with_bots.find([ROBOT, PERSON]) == ["bots", "segment-2"]
    assert index.find([ROBOT]) == [None]
