"""File locks: one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adloom.errors import LockedError


@contextmanager
def exclusive_lock(lock: Path, busy: str, seconds: float = 0) -> Iterator[None]:
    """Hold a lock file. Raises LockedError with the message `busy` after `seconds`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=seconds):
            yield
    except Timeout:
        raise LockedError(busy) from None
