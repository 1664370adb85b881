"""
The decision log of one process: it takes records without waiting, and one thread writes them.

A record that was taken is acknowledged. `close` writes all of them; a process that is killed loses those of the last
`flush_ms` and of a write under way, and the next start says in the log how many they were. Segments are safe from a
power cut once they are rotated. Nothing here raises or waits where answers are made: what there is no room for is
dropped and counted, and the log has a gap that says so.
"""

import atexit
import logging
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adloom.decisions.record import Reason, Record, encode
from adloom.decisions.segments import Folder
from adloom.decisions.shipper import Shipper
from adloom.decisions.tally import Tally
from adloom.decisions.writer import Limits, Writer
from adloom.errors import ParamsError
from adloom.io import objects
from adloom.io.objects import Objects
from adloom.settings import Settings

MEBIBYTE = 1 << 20
WAKE = MEBIBYTE  # bytes taken after which they are written at once
CLOSING = 20  # seconds in which `close` ships; a pod has 30 to end

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Numbers:
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

    def __init__(self, folder: Path, project: str, limits: Limits, remote: Objects | None = None) -> None:
        """Open the log. Raises OSError when the folder cannot be written."""
        place = Folder(folder)
        place.open.mkdir(parents=True, exist_ok=True)
        self._limits = limits
        self._tally = Tally.begin(place.open, uuid.uuid4().hex, project)
        self._shipper = Shipper(place, remote)
        self._writer = Writer(place, self._tally, limits, self._shipper.add)
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._bytes = 0  # taken and not written
        self._since = 0.0  # when the oldest of them was taken
        self._appended = 0
        self._dropped: Counter[Reason] = Counter()
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
        size = len(line) + 1
        with self._lock:
            waiting = self._bytes + size
            if waiting <= self._limits.buffer and not self._writer.over and not self._closed:
                if not self._bytes:
                    self._since = time.monotonic()
                self._lines.append(line)
                self._bytes = waiting
                self._appended += 1
                self._tally.accepted = self._appended
                if waiting >= WAKE:
                    self._wake.set()
                return True
        return self._drop(self._writer.trouble or "buffer full")

    def numbers(self) -> Numbers:
        """Return the numbers of this moment."""
        with self._lock:
            waits = time.monotonic() - self._since if self._bytes else 0.0
            appended, dropped = self._appended, {str(reason): count for reason, count in self._dropped.items()}
        ship = self._shipper
        return Numbers(
            appended=appended,
            written=self._writer.written,
            dropped=dropped,
            shipped=ship.shipped,
            unshipped=ship.unshipped,
            failures=ship.failures,
            write_lag=waits,
            ship_lag=max(ship.lag(), self._writer.age()) if ship.remote else 0.0,
        )

    def close(self, within: float = CLOSING) -> None:
        """
        Write all that was taken, end the segment, and ship for at most so many seconds; what is left is shipped later.

        Records that come after are dropped. Blocks: call it in a thread beside an event loop.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        self._wake.set()
        self._thread.join()
        self._flush()
        whole = self._writer.close()
        if not whole:
            logger.error("decision log: %d records were not written", self._appended - self._writer.written)
        self._shipper.close(within, self._tally if whole else None)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._limits.flush)
            self._wake.clear()
            try:
                self._flush()
            except Exception as error:  # noqa: BLE001 - a thread that must not end
                logger.error("decision log: %s: %s", type(error).__name__, error)

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, now = self._dropped.copy(), time.monotonic()
        kept = self._writer.write(lines, dropped)
        with self._lock:
            self._bytes -= kept
            self._since = now if kept else self._since

    def _drop(self, reason: Reason) -> bool:
        with self._lock:
            if not self._closed:
                self._dropped[reason] += 1
                self._tally.dropped = self._dropped.total()
        return False


def opened(settings: Settings, project: str) -> DecisionLog:
    """Open the log that the environment describes. Raises ParamsError when its folder cannot be written."""
    folder = settings.home / "decisions"
    remote = objects.at(settings.log_uri, settings.s3_endpoint) if settings.log_uri else None
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
        raise ParamsError(
            f"decision log: {folder}: {error.strerror}; set ADLOOM_HOME to a folder to write in"
        ) from None
