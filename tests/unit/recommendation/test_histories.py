"""The items of known users."""

from pathlib import Path

import pytest
from tests.support.item_events import interact

from adloom.errors import ArtifactError
from adloom.recommendation.histories import Histories

ONE, TWO = "a" * 32, "b" * 32


def test_users_are_found_and_strangers_have_no_items(tmp_path: Path) -> None:
    Histories.build(interact({ONE: ["x", "y", "x"], TWO: ["y"]})).save(tmp_path / "histories.npz")
    histories = Histories.load(tmp_path / "histories.npz")
    assert [histories.find(user).tolist() for user in (ONE, TWO)] == [[0, 1, 0], [1]]
    assert [histories.find(user).tolist() for user in ("0" * 32, "aa", "f" * 32)] == [[], [], []]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "histories.npz").write_bytes(b"PK")
    with pytest.raises(ArtifactError, match="expected an npz with pseudonyms, starts, item"):
        Histories.load(tmp_path / "histories.npz")
