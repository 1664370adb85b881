"""One at a time: a lock that is never waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adloom.errors import BusyError


@contextmanager
def held(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file. Raises BusyError with this sentence when somebody else does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise BusyError(busy) from None
