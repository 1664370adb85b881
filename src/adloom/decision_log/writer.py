"""Write buffered lines into segments; one thread at a time."""

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

DISK_CHECK_SECONDS = 1.0  # between two measurements of the folder's size

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Time and size limits of a log."""

    flush: float  # seconds between writes
    buffer: int  # unwritten bytes
    segment: int  # bytes at which a segment is rotated
    rotation: float  # seconds after which a segment is rotated
    disk: int  # bytes in the folder above which records are dropped


class Writer:
    """Writes a buffer's lines into segments; lines without space stay buffered."""

    def __init__(
        self,
        folder: LogDirectory,
        counters: ProcessCounters,
        limits: Limits,
        buffer: Buffer,
        on_end: Callable[[Path], None],
    ) -> None:
        self._folder, self._counters, self._limits, self._buffer, self._on_end = (
            folder,
            counters,
            limits,
            buffer,
            on_end,
        )
        self._segment: LogSegment | None = None
        self._reported: Counter[DropReason] = Counter()
        self._measured_at = 0.0
        self.written = 0  # records
        self.over_limit = False  # the folder exceeds its limit
        self.disk_full = False  # the last write failed

    @property
    def drop_reason(self) -> DropReason | None:
        """Why records are dropped, unless the buffer is full."""
        return "disk limit" if self.over_limit else "disk full" if self.disk_full else None

    def write(self, dropped: Counter[DropReason]) -> None:
        """Write buffered lines and gaps for dropped records; rotate if due."""
        self._buffer.gather()
        self._drain()
        if not self._buffer.peek():
            self._report_drops(dropped)
        if self._segment and self._is_due(self._segment):
            self._rotate(last=False)
        if time.monotonic() - self._measured_at >= DISK_CHECK_SECONDS:
            self._measured_at = time.monotonic()
            self.over_limit = self._folder.total_bytes() > self._limits.disk

    def close(self) -> bool:
        """End the log; return False if lines remain."""
        if not self._buffer.bytes and (self._segment or self._counters.number) and self._ensure_segment():
            self._rotate(last=True)
        if self._segment:
            self._segment.close()
        return not self._buffer.bytes and not self._segment

    def segment_age(self) -> float:
        """Return the open segment's age in seconds, or 0."""
        segment = self._segment
        return (now() - segment.opened) / 1e6 if segment else 0.0

    def _drain(self) -> None:
        while lines := self._buffer.peek():
            written = self._append(lines)
            if written:
                self._buffer.remove(written)
                self.written += lines.count(b"\n", 0, written)
                self._counters.written = self.written
            if written < len(lines):
                break

    def _append(self, lines: bytes) -> int:
        if self._segment and self._segment.size >= self._limits.segment:
            self._rotate(last=False)
        segment = self._ensure_segment()
        written = segment.write(lines) if segment else 0
        if segment:
            self._log_error(segment.error)
        return written

    def _ensure_segment(self) -> LogSegment | None:
        """Return None without disk space."""
        if self._segment is None:
            path = self._folder.segment_path(self._counters.process, self._counters.number)
            try:
                self._counters.persist()
                self._segment = LogSegment(path, create_header(self._counters, self.written))
                self._counters.number += 1
            except OSError as error:
                self._log_error(error)
        return self._segment

    def _rotate(self, last: bool) -> None:
        assert self._segment
        if self._segment.end(End(time=now(), records=self.written, last=last)):
            self._on_end(self._segment.path)
            self._segment = None
        else:
            self._log_error(self._segment.error)

    def _is_due(self, segment: LogSegment) -> bool:
        return (
            segment.size >= self._limits.segment
            or self.segment_age() >= self._limits.rotation
            or segment.day != format_day(now())
            or segment.opened > now()  # the clock went back
            or segment.deleted
        )

    def _report_drops(self, dropped: Counter[DropReason]) -> None:
        """Write a gap per reason with unreported drops."""
        for reason, count in (dropped - self._reported).items():
            gap = encode(Gap(time=now(), reason=reason, records=count)) + b"\n"
            if self._append(gap):
                self._reported[reason] += count
                self._counters.reported = self._reported.total()

    def _log_error(self, error: OSError | None) -> None:
        if error and not self.disk_full:
            logger.error("decision log: %s: %s; records wait in memory", self._folder.root, error.strerror or error)
        self.disk_full = error is not None
