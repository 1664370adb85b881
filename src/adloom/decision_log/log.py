"""
The decision log of one process: it takes records without waiting, and one thread writes them.

A record that was taken is acknowledged. `close` writes all of them; a process that is killed loses those of the last
`flush_ms` and of a write under way, and the next start says in the log how many they were. Segments are safe from a
power cut once they are rotated. Nothing here raises or waits where answers are made: what there is no room for is
dropped and counted, and the log has a gap that says so.
"""

import atexit
import errno
import logging
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adloom.config.settings import Settings
from adloom.decision_log.buffer import Buffer
from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.record import DropReason, Record, encode
from adloom.decision_log.segment_file import LogDirectory
from adloom.decision_log.shipper import Shipper
from adloom.decision_log.writer import Limits, Writer
from adloom.errors import ConfigError
from adloom.storage import objects
from adloom.storage.objects import ObjectStore

MEBIBYTE = 1 << 20
FLUSH_BYTES = MEBIBYTE  # bytes taken after which they are written at once
CLOSE_SECONDS = 20  # seconds that `close` takes at most, shipping included; a pod has a minute to end
DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # which shipping may mend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogStatistics:
    """What became of the records of this process, and what waits; for metrics."""

    appended: int  # records taken
    written: int  # of those, in a segment
    dropped: dict[str, int]  # by reason
    shipped: int  # segments of the folder that this process shipped
    unshipped: int  # segments of the folder that wait
    failures: int  # of shipping, each of which is tried again
    write_lag: float  # seconds that the oldest record waits to be written
    ship_lag: float  # seconds since the oldest segment that waits to be shipped was opened


class DecisionLog:
    """The log of one process. Make it after a fork, and one per process."""

    def __init__(self, folder: Path, project: str, limits: Limits, remote: ObjectStore | None = None) -> None:
        """Open the log. Raises OSError when the folder cannot be written, for another reason than a full disk."""
        place = LogDirectory(folder)
        self._limits = limits
        self._tally = _create_counters(place, project)
        self._shipper = Shipper(place, remote)
        self._buffer = Buffer(limits.buffer, self._tally)
        self._writer = Writer(place, self._tally, limits, self._buffer, self._shipper.add)
        self._lock = threading.Lock()
        self._dropped: Counter[DropReason] = Counter()
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
        self._thread.start()
        self._shipper.start()
        atexit.register(self.close)

    def append(self, record: Record) -> bool:
        """Take a record; return False when it was dropped. Never waits for a disk, and never raises."""
        try:
            line = encode(record)
        except Exception:  # noqa: BLE001 - whatever a caller put in, it must not fail an answer
            return self._drop("not a record")
        if self._writer.over or not self._buffer.put(line):
            return self._drop(self._writer.trouble or "buffer full")
        if self._buffer.bytes >= FLUSH_BYTES:
            self._wake.set()
        return True

    def numbers(self) -> LogStatistics:
        """Return the numbers of this moment."""
        with self._lock:
            dropped = {str(reason): count for reason, count in self._dropped.items()}
        ship = self._shipper
        return LogStatistics(
            appended=self._buffer.taken,
            written=self._writer.written,
            dropped=dropped,
            shipped=ship.shipped,
            unshipped=ship.unshipped,
            failures=ship.failures,
            write_lag=self._buffer.age(),
            ship_lag=max(ship.lag(), self._writer.age()) if ship.remote else 0.0,
        )

    def close(self, within: float = CLOSE_SECONDS) -> None:
        """
        Write all that was taken, end the segment, and ship, for at most so many seconds; what is left is shipped later.

        Records that come after are dropped. Blocks: call it in a thread beside an event loop.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        until = time.monotonic() + within
        atexit.unregister(self.close)
        self._buffer.close()
        self._wake.set()
        self._thread.join(within)
        whole = not self._thread.is_alive()  # it lives on where the disk does not answer
        if whole:
            self._flush()
            whole = self._writer.close()
        if not whole:
            logger.error("decision log: %d records were not written", self._buffer.taken - self._writer.written)
        self._shipper.close(max(until - time.monotonic(), 0), self._tally if whole else None)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._limits.flush)
            self._wake.clear()
            self._flush()

    def _flush(self) -> None:
        """Write what waits; what fails is tried again at the next flush."""
        with self._lock:
            dropped = self._dropped.copy()
        try:
            self._writer.write(dropped)
        except Exception as error:  # noqa: BLE001 - in a thread that must not end
            logger.error("decision log: %s: %s", type(error).__name__, error)

    def _drop(self, reason: DropReason) -> bool:
        with self._lock:
            if not self._closed:
                self._dropped[reason] += 1
                self._tally.dropped = self._dropped.total()
        return False


def _create_counters(folder: LogDirectory, project: str) -> ProcessCounters:
    """Return the tally of this process. Without room for its file, records wait in memory until there is some."""
    tally = ProcessCounters.begin(folder.open, uuid.uuid4().hex, project)
    try:
        tally.keep()
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        logger.error(
            "decision log: %s: %s; records wait in memory until there is room: make some, or see that ADLOOM_LOG_URI "
            "takes what waits here",
            folder.root,
            error.strerror,
        )
    return tally


def open_log(settings: Settings, project: str) -> DecisionLog:
    """Open the log that the environment describes. Raises ConfigError when its folder cannot be written."""
    folder = settings.home / "decisions"
    remote = objects.open_object_store(settings.log_uri, settings.s3_endpoint) if settings.log_uri else None
    limits = Limits(
        flush=settings.log_flush_ms / 1000,
        buffer=settings.log_buffer_mb * MEBIBYTE,
        segment=settings.log_segment_mb * MEBIBYTE,
        rotation=settings.log_segment_seconds,
        disk=settings.log_disk_mb * MEBIBYTE,
    )
    try:
        return DecisionLog(folder, project, limits, remote)
    except OSError as error:
        raise ConfigError(
            f"decision log: {folder}: {error.strerror}; set ADLOOM_HOME to a folder to write in"
        ) from None
