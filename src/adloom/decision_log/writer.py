"""The writer of one process: lines out of the buffer, segments into a folder; used by one thread at a time."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adloom.decision_log.buffer import Buffer
from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.record import DropReason, End, Gap, encode, now
from adloom.decision_log.segment_file import LogDirectory, LogSegment, create_header, format_day

DISK_CHECK_SECONDS = 1.0  # seconds between two looks at how much lies in the folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long and how much."""

    flush: float  # seconds between two writes
    buffer: int  # bytes taken and not written
    segment: int  # bytes of a segment before it is rotated
    rotation: float  # seconds before a segment with records is rotated
    disk: int  # bytes in the folder above which nothing more is taken


class Writer:
    """Writes a buffer's lines into segments, in their order. What there is no room for stays in the buffer."""

    def __init__(
        self,
        folder: LogDirectory,
        tally: ProcessCounters,
        limits: Limits,
        buffer: Buffer,
        ended: Callable[[Path], None],
    ) -> None:
        self._folder, self._tally, self._limits, self._buffer, self._ended = folder, tally, limits, buffer, ended
        self._segment: LogSegment | None = None
        self._noted: Counter[DropReason] = Counter()
        self._looked = 0.0
        self.written = 0  # records
        self.over = False  # the folder holds more than its limit
        self.full = False  # the last write found no room

    @property
    def trouble(self) -> DropReason | None:
        """Why records have to be dropped, if it is not that they come too fast."""
        return "disk limit" if self.over else "disk full" if self.full else None

    def write(self, dropped: Counter[DropReason]) -> None:
        """Write what waits, and a gap for what was dropped; rotate when it is time."""
        self._buffer.gather()
        self._drain()
        if not self._buffer.head():
            self._note(dropped)
        if self._segment and self._due(self._segment):
            self._rotate(last=False)
        self._look()

    def close(self) -> bool:
        """End the log of this process; return False when there was no room for all of it."""
        if not self._buffer.bytes and (self._segment or self._tally.number) and self._opened():
            self._rotate(last=True)
        if self._segment:
            self._segment.close()
        return not self._buffer.bytes and not self._segment

    def age(self) -> float:
        """Return the seconds since the segment that is being written was opened, 0 without one."""
        segment = self._segment
        return (now() - segment.opened) / 1e6 if segment else 0.0

    def _drain(self) -> None:
        while lines := self._buffer.head():
            kept = self._keep(lines)
            if kept:
                self._buffer.take_out(kept)
                self.written += lines.count(b"\n", 0, kept)
                self._tally.written = self.written
            if kept < len(lines):
                break

    def _keep(self, lines: bytes) -> int:
        if self._segment and self._segment.size >= self._limits.segment:
            self._rotate(last=False)
        segment = self._opened()
        kept = segment.write(lines) if segment else 0
        if segment:
            self._tell(segment.error)
        return kept

    def _opened(self) -> LogSegment | None:
        """Return the segment to write to, None when there is no room for one."""
        if self._segment is None:
            path = self._folder.path(self._tally.process, self._tally.number)
            try:
                self._tally.keep()
                self._segment = LogSegment(path, create_header(self._tally, self.written))
                self._tally.number += 1
            except OSError as error:
                self._tell(error)
        return self._segment

    def _rotate(self, last: bool) -> None:
        assert self._segment
        if self._segment.end(End(time=now(), records=self.written, last=last)):
            self._ended(self._segment.path)
            self._segment = None
        else:
            self._tell(self._segment.error)

    def _due(self, segment: LogSegment) -> bool:
        return (
            segment.size >= self._limits.segment
            or self.age() >= self._limits.rotation
            or segment.day != format_day(now())
            or segment.opened > now()  # the clock was set back
            or segment.deleted
        )

    def _note(self, dropped: Counter[DropReason]) -> None:
        """Write a gap for each reason for which more was dropped than gaps say."""
        for reason, count in (dropped - self._noted).items():
            gap = encode(Gap(time=now(), reason=reason, records=count)) + b"\n"
            if self._keep(gap):
                self._noted[reason] += count
                self._tally.noted = self._noted.total()

    def _look(self) -> None:
        if time.monotonic() - self._looked >= DISK_CHECK_SECONDS:
            self._looked = time.monotonic()
            self.over = self._folder.bytes() > self._limits.disk

    def _tell(self, error: OSError | None) -> None:
        if error and not self.full:
            logger.error("decision log: %s: %s; records wait in memory", self._folder.root, error.strerror or error)
        self.full = error is not None
