"""Files of users: ascending, in batches, and empty ones."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.toy_shops import CUT, events

from adloom.audience.features import select_features
from adloom.stages import user_files
from adloom.stages.user_files import write_below
from adloom.storage.table_scan import hold_rows

ROWS = events([(name, "2025-12-31", value) for name, value in zip("dbace", (4.0, 2.0, 1.0, 3.0, 5.0), strict=True)])


def test_users_are_ascending_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_files, "BATCH", 2)
    table = write_below(tmp_path, len(ROWS))(select_features(hold_rows(ROWS), CUT, "purchase"), "users")
    assert [rows["user_id"].tolist() for rows in table.scan("user_id")] == [["a", "b"], ["c", "d"], ["e"]]
    features = np.concatenate(list(table))
    assert features[:, 2].tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(features[:, 4]).all()  # one purchase each


def test_no_users_are_an_empty_table(tmp_path: Path) -> None:
    table = write_below(tmp_path, len(ROWS))(select_features(hold_rows(ROWS), CUT, "order"), "users")
    assert (len(table), list(table)) == (0, [])


def test_users_of_many_events_are_written_in_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = select_features(hold_rows(ROWS), CUT, "purchase")
    monkeypatch.setattr(user_files, "EVENTS_AT_A_TIME", 2)
    ranges = write_below(tmp_path, len(ROWS))(users, "ranges")
    assert [rows["user_id"].tolist() for rows in ranges.scan("user_id")] == [["a"], ["b", "c", "d", "e"]]
    assert len(ranges) == 5
