"""New segments of a log as impressions and clicks."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from tests.support.decision_logs import NOON, click, decision, frame_segment, write_segment

from adloom.data.context import SEPARATOR
from adloom.decision_log.increments import find_new_segments, keep_listed, read_segment
from adloom.storage.local import FolderObjectStore

NOW = datetime.fromtimestamp(NOON / 1e6, UTC)
HOUR = NOON // 3_600_000_000


def test_a_segment_is_read_by_slot(tmp_path: Path) -> None:
    path = write_segment(tmp_path, frame_segment([decision(7), click(7)]))
    shown, clicked = read_segment(path, held_out=5)
    columns = ["hour", "placement", "position", "creative_id", "candidates", "propensity", "ctx_device", "ctx_segment"]
    assert shown[columns].to_numpy().tolist() == [
        [HOUR, "home", 1, "bag", SEPARATOR.join(["bag", "hat", "shoe"]), 0.3, "phone", "loyal"],
        [HOUR, "home", 2, "hat", SEPARATOR.join(["hat", "shoe"]), pytest.approx(0.5 / 0.7), "phone", "loyal"],
    ]
    assert clicked["key"].tolist() == shown["key"].tolist()[:1]
    assert clicked["hour"].tolist() == [HOUR]


def test_all_impressions_of_a_user_are_held_out_or_none(tmp_path: Path) -> None:
    users = [f"{number:08x}" + "0" * 24 for number in (5, 6, 5, 6)]
    lines = frame_segment([decision(i, user=user) for i, user in enumerate(users)])
    shown, _ = read_segment(write_segment(tmp_path, lines), held_out=5)
    assert shown["held_out"].tolist() == [True, True, False, False] * 2


def test_feedback_keeps_its_kind_and_invalid_lines_are_left_out(tmp_path: Path) -> None:
    sale = click(0, kind="conversion", value=3.0)
    path = write_segment(tmp_path, [*frame_segment([decision(0), sale]), b"no record\n"])
    shown, clicked = read_segment(path, held_out=5)
    assert (len(shown), clicked["kind"].tolist()) == (2, ["conversion"])


def test_a_damaged_segment_is_read_up_to_the_damage(tmp_path: Path) -> None:
    path = write_segment(tmp_path, frame_segment([decision(i) for i in range(400)]))
    path.write_bytes(path.read_bytes()[:-2000])
    assert 0 < len(read_segment(path, held_out=5)[0]) < 800
    path.write_bytes(gzip.compress(b""))
    assert [table.empty for table in read_segment(path, held_out=5)] == [True, True]


def test_only_new_finished_segments_of_the_last_days_are_found(tmp_path: Path) -> None:
    name = write_segment(tmp_path, frame_segment([decision()])).relative_to(tmp_path).as_posix()
    (tmp_path / "shop" / "2026-09-21" / "notes.txt").touch()
    store = FolderObjectStore(str(tmp_path))
    assert find_new_segments(store, "shop", NOW, []) == [name]
    assert find_new_segments(store, "shop", NOW, [name]) == []
    assert find_new_segments(store, "other", NOW, []) == []
    assert find_new_segments(store, "shop", NOW + timedelta(days=3), []) == []
    assert [keep_listed([name], NOW + timedelta(days=days)) for days in (2, 3)] == [[name], []]


def test_no_record_gives_tables_that_statistics_take(tmp_path: Path) -> None:
    shown, clicked = read_segment(write_segment(tmp_path, frame_segment([])), held_out=5)
    assert pd.concat([shown, clicked]).empty
