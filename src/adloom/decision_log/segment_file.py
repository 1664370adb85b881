"""
Segments, the files of the log: JSON lines between a header and an end.

`open/<process>-<number>.jsonl` is being written; finished segments are immutable, at
`<project>/<day>/<sha256>.jsonl.gz`. Unlike Parquet, JSON lines can be flushed often and survive a kill.
"""

import errno
import gzip
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from isal import igzip

from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.record import End, Gap, Header, Line, Record, decode, encode, now
from adloom.storage import files, manifest

OPEN, DAMAGED = "open", "damaged"
PACKED, PLAIN = ".jsonl.gz", ".jsonl"
GZIP_FORMAT = 16 + zlib.MAX_WBITS  # for zlib
GZIP_LEVEL = 1  # of ISA-L: zlib's size in a third of its time, which competes with requests for CPU
BLOCK_BYTES = 1 << 20
MICROSECOND = 1e-6
DAMAGE_ERRORS = (EOFError, OSError, zlib.error)  # raised by reading a damaged segment

logger = logging.getLogger(__name__)


class LogSegment:
    """A segment that one thread writes."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.day = format_day(header.time)
        self.opened = header.time
        self.size = 0
        self.error: OSError | None = None  # of the last, incomplete write
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, files.PRIVATE_MODE)
        if not self.write(encode(header) + b"\n"):
            os.close(self._file)
            path.unlink()
            raise self.error or OSError(f"{path}: not written")

    @property
    def deleted(self) -> bool:
        """Whether the file was deleted."""
        return os.fstat(self._file).st_nlink == 0

    def write(self, lines: bytes) -> int:
        """Append lines; return the bytes of the complete lines written. Never raises."""
        written, self.error = 0, None
        try:
            while written < len(lines):
                written += os.pwrite(self._file, memoryview(lines)[written:], self.size + written)
        except OSError as error:
            self.error = error
        complete = len(lines) if written == len(lines) else lines.rfind(b"\n", 0, written) + 1
        self.size += complete
        return complete

    def end(self, end: End) -> bool:
        """Write the last line and close; return False without disk space."""
        try:
            os.ftruncate(self._file, self.size)
        except OSError as error:
            self.error = error
            return False
        if not self.write(encode(end) + b"\n"):
            return False
        self.close()
        return True

    def close(self) -> None:
        """Sync and close the file. Never raises."""
        for release in (os.fsync, os.close):
            try:
                release(self._file)
            except OSError as error:  # the lines are written; only a power failure could lose them
                logger.error("decision log: %s: %s: %s", self.path, release.__name__, error.strerror)


class LogDirectory:
    """A machine's unshipped segments; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open = root / OPEN

    def segment_path(self, process: str, number: int) -> Path:
        """Return the path of a process's open segment."""
        return self.open / f"{process}-{number:06}{PLAIN}"

    def list_finished(self) -> list[Path]:
        """Return the finished segments, oldest first."""
        paths = [path for path in self.root.glob("*/*/*") if is_finished(path.relative_to(self.root).as_posix())]
        return sorted(paths, key=lambda path: (_modified_at(path), path.name))

    def total_bytes(self) -> int:
        """Return the size of all files."""
        return sum(_file_size(path) for path in self.root.rglob("*"))

    def finish(self, path: Path) -> Path:
        """
        Compress an ended segment and move it to its final path; repeatable after a crash.

        Without disk space it stays uncompressed; without a valid header it moves to `damaged`. Its modification time is
        its opening time.
        """
        project, opened = _read_origin(path)
        partial = path.with_suffix(".partial")
        try:
            finished, suffix, sha256 = partial, PACKED, _compress(path, partial)
        except OSError:
            partial.unlink(missing_ok=True)
            finished, suffix, sha256 = path, PLAIN, manifest.sha256(path)
        target = self.root / project / format_day(opened) / f"{sha256}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.utime(finished, (opened * MICROSECOND,) * 2)
        finished.rename(target)
        _sync_folder(target.parent)
        path.unlink(missing_ok=True)
        return target


def recover(folder: LogDirectory) -> int:
    """
    End and finish the segments of killed processes; return their number.

    Lost records become a gap. Raises the last OSError after trying all.
    """
    count, last_error = 0, None
    for path in sorted(
        {ProcessCounters.path_for(path) for path in folder.open.glob("*-*")}
        | {*folder.open.glob(f"*{ProcessCounters.SUFFIX}")}
    ):
        try:
            count += _recover_process(folder, path)
        except OSError as error:
            last_error = error
    if last_error:
        raise last_error
    return count


def _recover_process(folder: LogDirectory, path: Path) -> bool:
    """Return False if the process lives."""
    counters = ProcessCounters.adopt(path)
    if counters is None:
        return False
    with closing(counters):
        for segment in _end_segments(folder, counters):
            folder.finish(segment)
        counters.discard()
    return True


def _end_segments(folder: LogDirectory, counters: ProcessCounters) -> list[Path]:
    for leftover in folder.open.glob(f"{counters.process}-*.partial"):
        leftover.unlink()
    paths = [path for path in sorted(folder.open.glob(f"{counters.process}-*{PLAIN}")) if _truncate_torn_line(path)]
    last = _read_last_line(paths[-1]) if paths else None
    if isinstance(last, End) and last.last:
        return paths
    written = last.records if isinstance(last, End) else _count_records(paths[-1]) if paths else counters.written
    lost = max(counters.accepted - written, 0) + counters.dropped - counters.reported
    if lost and (not paths or isinstance(last, End)):
        paths.append(folder.segment_path(counters.process, counters.number))
        LogSegment(paths[-1], create_header(counters, written)).close()
        last = None
    if paths and not isinstance(last, End):
        gap = [encode(Gap(time=now(), reason="not written", records=lost))] if lost else []
        _append_all(paths[-1], b"\n".join([*gap, encode(End(time=now(), records=written, last=True)), b""]))
    return paths


def create_header(counters: ProcessCounters, written: int) -> Header:
    """Return the header of a process's next segment."""
    return Header(
        time=now(), project=counters.project, process=counters.process, number=counters.number, records=written
    )


def _truncate_torn_line(path: Path) -> bool:
    """Remove a torn last line; return whether a line remains."""
    complete = 0
    with path.open("r+b") as stream:
        for line in stream:
            complete += len(line) if line.endswith(b"\n") else 0
        stream.truncate(complete)
    if not complete:
        path.unlink()
    return complete > 0


def _read_origin(path: Path) -> tuple[str, int]:
    """Return a segment's project and opening time in µs."""
    with path.open("rb") as stream:
        try:
            first = decode(stream.readline())
        except ValueError:
            first = None
    return (
        (first.project, first.time) if isinstance(first, Header) else (DAMAGED, int(_modified_at(path) / MICROSECOND))
    )


def _read_last_line(path: Path) -> Line | None:
    """Return None if the last line is invalid."""
    last = b""
    with path.open("rb") as stream:
        for line in stream:
            last = line
    try:
        return decode(last)
    except ValueError:
        return None


def _count_records(path: Path) -> int:
    """Return the process's number of records up to a segment's end."""
    count = 0
    for _, line in read_lines(path):
        try:
            record = decode(line)
        except ValueError:  # damaged by a power failure; `verify` reports it
            count += 1
            continue
        count += record.records if isinstance(record, Header) else isinstance(record, Record)
    return count


def _append_all(path: Path, data: bytes) -> None:
    """Append all of the data or nothing."""
    with path.open("ab", buffering=0) as stream:
        size = stream.tell()
        try:
            if stream.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(size)
            raise


def is_finished(name: str) -> bool:
    """Return whether a path below a log is a finished segment."""
    return name.endswith((PACKED, PLAIN)) and not {OPEN, ""} & {*name.split("/")[:-1]}


def format_day(time: int) -> str:
    """Return the day (UTC) of a time in µs, such as 2026-11-07."""
    return f"{datetime.fromtimestamp(time * MICROSECOND, UTC):%Y-%m-%d}"


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield a segment's numbered lines, from 1. Raises DAMAGE_ERRORS."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield from enumerate(stream, 1)


def read_first_line(name: str, start: bytes) -> bytes:
    """Return the first line of a segment from its first bytes. Raises DAMAGE_ERRORS."""
    lines = zlib.decompressobj(GZIP_FORMAT).decompress(start) if name.endswith(".gz") else start
    return lines.partition(b"\n")[0]


def _compress(path: Path, target: Path) -> str:
    """Compress a file reproducibly; return the sha256 of the result."""
    with (
        path.open("rb") as source,
        files.create_private(target) as stream,
        igzip.IGzipFile("", "wb", GZIP_LEVEL, stream, mtime=0) as gzip_file,
    ):
        while block := source.read(BLOCK_BYTES):
            gzip_file.write(block)
    with target.open("rb") as compressed:
        os.fsync(compressed.fileno())
    return manifest.sha256(target)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; errors are only logged."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        logger.error("decision log: %s: fsync: %s", folder, error.strerror)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # finished or shipped in the meantime
        return 0


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
