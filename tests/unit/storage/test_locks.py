"""Locks: one holder at a time, and the message for the others."""

from pathlib import Path

import pytest

from adloom.errors import LockedError
from adloom.storage.locks import exclusive_lock


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with exclusive_lock(lock, "busy"), pytest.raises(LockedError, match="^busy$"), exclusive_lock(lock, "busy"):
        pass
    with exclusive_lock(lock, "busy"):
        pass
