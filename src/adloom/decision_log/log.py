"""
The decision log of one process: `append` never blocks, and one thread writes.

A killed process loses the records of its last `flush_ms`; the next start records their number as a gap. Rotated
segments survive a power failure. Records without space are dropped, also with a gap.
"""

import atexit
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
from adloom.storage.base import DISK_FULL_ERRORS, ObjectStore
from adloom.storage.router import open_object_store

FOLDER = "decisions"  # in `home`
MEBIBYTE = 1 << 20
FLUSH_BYTES = MEBIBYTE  # buffered bytes that trigger a write
CLOSE_SECONDS = 20  # time limit of `close`, shipping included; a pod has a minute to stop

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogStatistics:
    """Counters and lags of this process, for metrics."""

    appended: int  # accepted records
    written: int  # of these, in a segment
    dropped: dict[str, int]  # by reason
    shipped: int  # segments, by this process
    unshipped: int  # segments in the folder
    failures: int  # failed attempts to ship
    write_lag: float  # age of the oldest unwritten record, seconds
    ship_lag: float  # age of the oldest unshipped segment, seconds


class DecisionLog:
    """The log of one process; create it after a fork."""

    def __init__(self, folder: Path, project: str, limits: Limits, remote: ObjectStore | None = None) -> None:
        """Open the log. Raises OSError if the folder is not writable."""
        directory = LogDirectory(folder)
        self._limits = limits
        self._counters = _create_counters(directory, project)
        self._shipper = Shipper(directory, remote)
        self._buffer = Buffer(limits.buffer, self._counters)
        self._writer = Writer(directory, self._counters, limits, self._buffer, self._shipper.add)
        self._lock = threading.Lock()
        self._dropped: Counter[DropReason] = Counter()
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
        self._thread.start()
        self._shipper.start()
        atexit.register(self.close)

    def append(self, record: Record) -> bool:
        """Add a record; return False if it was dropped. Never blocks or raises."""
        try:
            line = encode(record)
        except Exception:  # noqa: BLE001 - an invalid record must not fail a request
            return self._drop("not a record")
        if self._writer.over_limit or not self._buffer.put(line):
            return self._drop(self._writer.drop_reason or "buffer full")
        if self._buffer.bytes >= FLUSH_BYTES:
            self._wake.set()
        return True

    def statistics(self) -> LogStatistics:
        """Return the current statistics."""
        with self._lock:
            dropped = {str(reason): count for reason, count in self._dropped.items()}
        shipper = self._shipper
        return LogStatistics(
            appended=self._buffer.accepted,
            written=self._writer.written,
            dropped=dropped,
            shipped=shipper.shipped,
            unshipped=shipper.unshipped,
            failures=shipper.failures,
            write_lag=self._buffer.age(),
            ship_lag=max(shipper.lag(), self._writer.segment_age()) if shipper.remote else 0.0,
        )

    def close(self, within: float = CLOSE_SECONDS) -> None:
        """Write and ship accepted records within a time limit. Blocks."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        deadline = time.monotonic() + within
        atexit.unregister(self.close)
        self._buffer.close()
        self._wake.set()
        self._thread.join(within)
        completed = not self._thread.is_alive()  # the thread survives if the disk hangs
        if completed:
            self._flush()
            completed = self._writer.close()
        if not completed:
            logger.error("decision log: %d records were not written", self._buffer.accepted - self._writer.written)
        self._shipper.close(max(deadline - time.monotonic(), 0), self._counters if completed else None)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._limits.flush)
            self._wake.clear()
            self._flush()

    def _flush(self) -> None:
        """Write buffered records; the next flush retries failures."""
        with self._lock:
            dropped = self._dropped.copy()
        try:
            self._writer.write(dropped)
        except Exception as error:  # noqa: BLE001 - the thread must not end
            logger.error("decision log: %s: %s", type(error).__name__, error)

    def _drop(self, reason: DropReason) -> bool:
        with self._lock:
            if not self._closed:
                self._dropped[reason] += 1
                self._counters.dropped = self._dropped.total()
        return False


def _create_counters(folder: LogDirectory, project: str) -> ProcessCounters:
    counters = ProcessCounters.create(folder.open, uuid.uuid4().hex, project)
    try:
        counters.persist()
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        logger.error(
            "decision log: %s: %s; records wait in memory; free disk space, or make sure that ADLOOM_LOG_URI accepts "
            "segments",
            folder.root,
            error.strerror,
        )
    return counters


def find_log(settings: Settings) -> str:
    """Return the URI or the folder of the configured log."""
    return settings.log_uri or str(settings.home / FOLDER)


def open_log(settings: Settings, project: str) -> DecisionLog:
    """Open the configured log. Raises ConfigError if its folder is not writable."""
    folder = settings.home / FOLDER
    remote = open_object_store(settings.log_uri, settings.s3_endpoint) if settings.log_uri else None
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
        raise ConfigError(f"decision log: {folder}: {error.strerror}; set ADLOOM_HOME to a writable folder") from None
