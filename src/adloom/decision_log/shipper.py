"""
The shipper: a thread that finishes segments and brings them to a remote, tried again for as long as it takes.

Of the processes that share a folder one ships at a time, for all. A segment is taken away here only when the remote
says that it has an object of this name and size; the name is the sha256 of the bytes, so that what is sent twice is
there once.
"""

import fcntl
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.segment_file import LogDirectory, recover
from adloom.errors import ExternalServiceError
from adloom.storage import manifest
from adloom.storage.objects import ObjectStore

POLL_SECONDS = 1.0  # seconds between two looks for what others have finished
MAX_BACKOFF_SECONDS = 60.0  # seconds
LOCK_FILE = "ship.lock"

logger = logging.getLogger(__name__)


class Shipper:
    """Finishes and ships the segments of a folder, those of killed processes first."""

    def __init__(self, folder: LogDirectory, remote: ObjectStore | None, poll: float = POLL_SECONDS) -> None:
        self.remote = remote
        self.shipped = self.unshipped = self.failures = 0
        self._folder, self._poll = folder, poll
        self._ended: list[Path] = []
        self._finishing = threading.Lock()
        self._oldest: float | None = None  # when the oldest unshipped segment was opened
        self._recovered = self._closing = False
        self._told = ""  # the last failure
        self._pause = 0.0  # seconds to wait after a failure to ship
        self._again = self._until = 0.0  # when to try again, and when to end
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision log shipper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, ended: Path) -> None:
        """Take over a segment that ended."""
        self._ended.append(ended)
        self._wake.set()

    def lag(self) -> float:
        """Return the seconds since the oldest segment that waits was opened, 0 when none waits."""
        oldest = self._oldest
        return max(time.time() - oldest, 0.0) if oldest is not None else 0.0

    def close(self, within: float, tally: ProcessCounters | None) -> None:
        """Finish this process's segments, forget its tally when there is one, and ship for at most so many seconds."""
        self._until = time.monotonic() + within
        if self._finishing.acquire(timeout=within):
            self._finishing.release()
            if self._tried(self._finish) and tally:
                self._tried(tally.discard)
        self._again, self._closing = 0.0, True
        self._wake.set()
        self._thread.join(max(self._until - time.monotonic(), 0))
        if self.unshipped:
            logger.error("decision log: %s: not all is shipped; the next start goes on", self._folder.root)

    def _run(self) -> None:
        while True:
            closing = self._closing
            self._pass()
            if closing and (not self.unshipped or time.monotonic() > self._until):
                return
            self._wake.wait(self._poll)
            self._wake.clear()

    def _pass(self) -> None:
        """Do all that can be done now. No step waits for one that fails, so that shipping makes room for the others."""
        done = [self._tried(step) for step in (self._recover, self._finish, self._ship_in_time, self._count)]
        if all(done) and not self._pause:
            self._told = ""

    def _tried(self, step: Callable[[], None]) -> bool:
        """Take a step; return False when it failed: it is tried again at the next pass."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - in a thread that must not end
            self.failures += 1
            if str(error) != self._told:
                logger.warning("decision log: not shipped, it is tried again: %s", error)
            self._told = str(error)
            return False
        return True

    def _recover(self) -> None:
        if not self._recovered:
            recover(self._folder)
            self._recovered = True

    def _finish(self) -> None:
        """Finish what ended; a segment that cannot be finished holds up no other. Raises the last one's error."""
        failed = None
        with self._finishing:
            for path in [*self._ended]:
                try:
                    self._folder.finish(path)
                except OSError as error:
                    if path.exists():
                        failed = error
                        continue
                    logger.error("decision log: %s was deleted before it was finished: its records are lost", path)
                self._ended.remove(path)
        if failed:
            raise failed

    def _ship_in_time(self) -> None:
        """Ship unless the last failure was a moment ago; pauses grow with each failure."""
        if not self.remote or time.monotonic() < self._again:
            return
        try:
            self._ship(self.remote)
        except Exception:
            self._pause = min(max(self._pause * 2, self._poll), MAX_BACKOFF_SECONDS)
            self._again = time.monotonic() + (0 if self._closing else self._pause * random.uniform(0.5, 1))  # noqa: S311
            raise
        self._pause = 0.0

    def _ship(self, remote: ObjectStore) -> None:
        """Ship what is finished; a file that cannot be read holds up no other. Raises the last one's error."""
        failed = None
        with _try_lock(self._folder.root / LOCK_FILE) as alone:
            waiting = self._folder.finished() if alone else []
            for left, path in zip(range(len(waiting), 0, -1), waiting, strict=True):
                self.unshipped = left
                try:
                    self._oldest = path.stat().st_mtime
                    manifest.sha256(path)  # so that a disk's error is not taken for the remote's
                    _ship_file(path, path.relative_to(self._folder.root).as_posix(), remote)
                    path.unlink()
                    self.shipped += 1
                except OSError as error:
                    failed = error if path.exists() else failed  # else somebody shipped it before this look
        if failed:
            raise failed

    def _count(self) -> None:
        """Count the segments that wait to be shipped, those that are not yet finished included."""
        times = [path.stat().st_mtime for path in [*self._folder.finished(), *self._ended] if path.exists()]
        self.unshipped, self._oldest = (len(times), min(times, default=None)) if self.remote else (0, None)


def _ship_file(path: Path, name: str, remote: ObjectStore) -> None:
    """Make a file an object unless it is one, and see that it is."""
    size = path.stat().st_size
    found = remote.below(name).get(name)
    if found is None or found.size != size:
        remote.send(path, name)
        found = remote.below(name).get(name)
    if found is None or found.size != size:
        what = f"{found.size} bytes" if found else "nothing"
        raise ExternalServiceError(f"{remote.url}/{name}: {what} after it was sent, expected {size} bytes")


@contextmanager
def _try_lock(lock: Path) -> Iterator[bool]:
    """Yield whether nobody else ships from here."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _locked(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
