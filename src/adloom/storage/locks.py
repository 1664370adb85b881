"""File locks: one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adloom.errors import BusyError


@contextmanager
def held(lock: Path, busy: str, seconds: float = 0) -> Iterator[None]:
    """Hold a lock file. Raises BusyError with this sentence when another process holds it for longer than `seconds`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=seconds):
            yield
    except Timeout:
        raise BusyError(busy) from None
