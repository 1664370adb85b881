"""Users in a file: ascending, in batches, and the same whatever the size of a batch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.toy_shops import CUT, events

from adloom.audience import user_table
from adloom.audience.features import select_features
from adloom.audience.segmenter import FEATURES
from adloom.audience.user_table import UserTable, pair_rows, stack_features, take_rows
from adloom.storage.table_scan import hold_rows

ROWS = events([(name, "2025-12-31", value) for name, value in zip("dbace", (4.0, 2.0, 1.0, 3.0, 5.0), strict=True)])


@pytest.fixture
def table(tmp_path: Path) -> UserTable:
    """Return five users, who spent 1 to 5."""
    return UserTable.write(select_features(hold_rows(ROWS), CUT, "purchase"), tmp_path / "users")


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_users_are_ascending_in_batches_of_any_size(
    table: UserTable, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_table, "BATCH", size)
    batches = list(table)
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert np.concatenate(batches)[:, 2].tolist() == [1, 2, 3, 4, 5]
    assert [user for rows in table.scan("user_id") for user in rows["user_id"]] == list("abcde")
    taken = table.take(np.array([1, 4]), "user_id", "monetary")
    assert taken.to_numpy().tolist() == [["b", 2.0], ["e", 5.0]]
    assert np.isnan(stack_features(table.take(np.array([0]), *FEATURES))[0, 4])  # one purchase only


def test_no_users_are_an_empty_table(tmp_path: Path) -> None:
    table = UserTable.write(select_features(hold_rows(ROWS), CUT, "order"), tmp_path / "users")
    assert (len(table), list(table)) == (0, [])
    assert table.take(np.array([], int), "user_id").empty


def test_batches_meet_their_part_of_an_array() -> None:
    frames = [pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [3]})]
    assert [part.tolist() for _, part in pair_rows(frames, np.array([7, 8, 9]))] == [[7, 8], [9]]
    assert [part["x"].tolist() for part in take_rows(frames, np.array([1, 2]))] == [[2], [3]]
