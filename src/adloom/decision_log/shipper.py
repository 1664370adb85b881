"""
A thread that finishes segments and ships them to a remote, with retries.

One process per folder ships for all. A local segment is deleted after the remote confirms its size. Names are digests,
so repeated uploads are harmless.
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
from adloom.storage.base import ObjectStore

POLL_SECONDS = 1.0  # between two checks for segments of other processes
MAX_BACKOFF_SECONDS = 60.0  # seconds
LOCK_FILE = "ship.lock"

logger = logging.getLogger(__name__)


class Shipper:
    """Finishes and ships a folder's segments, including those of killed processes."""

    def __init__(self, folder: LogDirectory, remote: ObjectStore | None, poll: float = POLL_SECONDS) -> None:
        self.remote = remote
        self.shipped = self.unshipped = self.failures = 0
        self._folder, self._poll = folder, poll
        self._ended: list[Path] = []
        self._finishing = threading.Lock()
        self._oldest: float | None = None  # opening time of the oldest unshipped segment
        self._recovered = self._closing = False
        self._last_error = ""  # message
        self._backoff = 0.0  # seconds
        self._retry_at = self._deadline = 0.0  # of the next attempt; of `close`
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision log shipper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, ended: Path) -> None:
        """Hand over an ended segment."""
        self._ended.append(ended)
        self._wake.set()

    def lag(self) -> float:
        """Return the oldest unshipped segment's age in seconds, or 0."""
        oldest = self._oldest
        return max(time.time() - oldest, 0.0) if oldest is not None else 0.0

    def close(self, within: float, counters: ProcessCounters | None) -> None:
        """Finish and ship this process's segments within a time limit."""
        self._deadline = time.monotonic() + within
        if self._finishing.acquire(timeout=within):
            self._finishing.release()
            if self._try_step(self._finish_ended) and counters:
                self._try_step(counters.discard)
        self._retry_at, self._closing = 0.0, True
        self._wake.set()
        self._thread.join(max(self._deadline - time.monotonic(), 0))
        if self.unshipped:
            logger.error("decision log: %s: segments remain unshipped; the next start ships them", self._folder.root)

    def _run(self) -> None:
        while True:
            closing = self._closing
            self._run_steps()
            if closing and (not self.unshipped or time.monotonic() > self._deadline):
                return
            self._wake.wait(self._poll)
            self._wake.clear()

    def _run_steps(self) -> None:
        """Run all steps; a failed one does not stop others."""
        results = [
            self._try_step(step)
            for step in (self._recover_once, self._finish_ended, self._ship_with_backoff, self._count_unshipped)
        ]
        if all(results) and not self._backoff:
            self._last_error = ""

    def _try_step(self, step: Callable[[], None]) -> bool:
        """Run a step; return False if it failed."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the thread must not end
            self.failures += 1
            if str(error) != self._last_error:
                logger.warning("decision log: not shipped, retrying: %s", error)
            self._last_error = str(error)
            return False
        return True

    def _recover_once(self) -> None:
        if not self._recovered:
            recover(self._folder)
            self._recovered = True

    def _finish_ended(self) -> None:
        """Finish all, then raise the last error."""
        last_error = None
        with self._finishing:
            for path in [*self._ended]:
                try:
                    self._folder.finish(path)
                except OSError as error:
                    if path.exists():
                        last_error = error
                        continue
                    logger.error("decision log: %s was deleted before it was finished; its records are lost", path)
                self._ended.remove(path)
        if last_error:
            raise last_error

    def _ship_with_backoff(self) -> None:
        if not self.remote or time.monotonic() < self._retry_at:
            return
        try:
            self._ship_finished(self.remote)
        except Exception:
            self._backoff = min(max(self._backoff * 2, self._poll), MAX_BACKOFF_SECONDS)
            self._retry_at = time.monotonic() + (0 if self._closing else self._backoff * random.uniform(0.5, 1))  # noqa: S311
            raise
        self._backoff = 0.0

    def _ship_finished(self, remote: ObjectStore) -> None:
        """Ship all, then raise the last error."""
        last_error = None
        with _try_lock(self._folder.root / LOCK_FILE) as is_locked:
            waiting = self._folder.list_finished() if is_locked else []
            for remaining, path in zip(range(len(waiting), 0, -1), waiting, strict=True):
                self.unshipped = remaining
                try:
                    self._oldest = path.stat().st_mtime
                    manifest.sha256(path)  # raises an error of the disk before one of the remote
                    _ship_file(path, path.relative_to(self._folder.root).as_posix(), remote)
                    path.unlink()
                    self.shipped += 1
                except OSError as error:
                    last_error = error if path.exists() else last_error  # otherwise another process shipped it
        if last_error:
            raise last_error

    def _count_unshipped(self) -> None:
        times = [path.stat().st_mtime for path in [*self._folder.list_finished(), *self._ended] if path.exists()]
        self.unshipped, self._oldest = (len(times), min(times, default=None)) if self.remote else (0, None)


def _ship_file(path: Path, name: str, remote: ObjectStore) -> None:
    """Upload a file if necessary and verify its size."""
    size = path.stat().st_size
    stored = remote.list(name).get(name)
    if stored is None or stored.size != size:
        remote.put(path, name)
        stored = remote.list(name).get(name)
    if stored is None or stored.size != size:
        size_text = f"{stored.size} bytes" if stored else "nothing"
        raise ExternalServiceError(f"{remote.url}/{name}: {size_text} after upload, expected {size} bytes")


@contextmanager
def _try_lock(lock: Path) -> Iterator[bool]:
    """Yield whether this process got the folder's lock."""
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
