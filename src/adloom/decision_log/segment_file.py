"""
Segments, the files of the log: JSON lines between a header and an end.

Below the log's folder, `open/<process>-<number>.jsonl` is being written; a finished segment lies under its project, its
day and the sha256 of its bytes, `<project>/<day>/<sha256>.jsonl.gz`, and nothing in it changes any more. Lines can be
appended and flushed every few milliseconds, and what a killed process left is whole up to its last newline; Parquet,
whose footer comes last, could do neither.
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
from adloom.decision_log.record import Decision, End, Feedback, Gap, Header, Line, decode, encode, now
from adloom.storage import manifest, private_file

OPEN, DAMAGED = "open", "damaged"
PACKED, PLAIN = ".jsonl.gz", ".jsonl"
GZIP_LEVEL = (
    1  # of ISA-L's gzip: zlib's size at a third of its time, which is taken from answers where processors are few
)
BLOCK_BYTES = 1 << 20
MICROSECOND = 1e-6
DAMAGE_ERRORS = (EOFError, OSError, zlib.error)  # what reading a segment raises where it is damaged

logger = logging.getLogger(__name__)


class LogSegment:
    """A segment that is being written, by one thread."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.day = format_day(header.time)
        self.opened = header.time
        self.size = 0
        self.error: OSError | None = None  # why the last write did not keep everything
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, private_file.MODE)
        if not self.write(encode(header) + b"\n"):
            os.close(self._file)
            path.unlink()
            raise self.error or OSError(f"{path}: not written")

    @property
    def deleted(self) -> bool:
        """Whether somebody deleted the file: what is written to it from now on would be lost."""
        return os.fstat(self._file).st_nlink == 0

    def write(self, lines: bytes) -> int:
        """
        Append lines; return how many bytes were kept: all, or the whole lines there was room for. Never raises.

        What was written of a torn line lies behind `size`, where the next write begins.
        """
        written, self.error = 0, None
        try:
            while written < len(lines):
                written += os.pwrite(self._file, memoryview(lines)[written:], self.size + written)
        except OSError as error:
            self.error = error
        kept = len(lines) if written == len(lines) else lines.rfind(b"\n", 0, written) + 1
        self.size += kept
        return kept

    def end(self, end: End) -> bool:
        """Write the last line and close the file, safe from a power cut; return False when there is no room for it."""
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
        """Close the file, for good or because the process ends without room for the rest. Never raises."""
        for release in (os.fsync, os.close):
            try:
                release(self._file)
            except OSError as error:  # the lines are written; only a power cut could take them now
                logger.error("decision log: %s: %s: %s", self.path, release.__name__, error.strerror)


class LogDirectory:
    """Where a machine's segments lie until they are shipped; several processes may write into one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open = root / OPEN

    def path(self, process: str, number: int) -> Path:
        """Return where a process writes its segment of this number."""
        return self.open / f"{process}-{number:06}{PLAIN}"

    def finished(self) -> list[Path]:
        """Return the finished segments, oldest first."""
        found = [path for path in self.root.glob("*/*/*") if is_finished(path.relative_to(self.root).as_posix())]
        return sorted(found, key=lambda path: (_modified_at(path), path.name))

    def bytes(self) -> int:
        """Return how many bytes lie here."""
        return sum(_file_size(path) for path in self.root.rglob("*"))

    def finish(self, path: Path) -> Path:
        """
        Give a segment that ended its name and its place; its time of modification is when it was opened.

        Done again after a crash, it makes the same file. Without room to compress it, it is kept as it is; one whose
        header a power cut took lies under `damaged`, where `verify` finds it.
        """
        project, opened = _read_origin(path)
        beside = path.with_suffix(".partial")
        try:
            made, suffix, sha256 = beside, PACKED, _compress(path, beside)
        except OSError:
            beside.unlink(missing_ok=True)
            made, suffix, sha256 = path, PLAIN, manifest.sha256(path)
        target = self.root / project / format_day(opened) / f"{sha256}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.utime(made, (opened * MICROSECOND,) * 2)
        made.rename(target)
        _sync_folder(target.parent)
        path.unlink(missing_ok=True)
        return target


def recover(folder: LogDirectory) -> int:
    """
    End and finish what processes left that were killed; return how many processes that were.

    A torn last line is cut off. What a process accepted or dropped and did not write is said by a gap. Raises OSError
    after the others are finished when those of a process cannot be: do it again when there is room.
    """
    count, failed = 0, None
    for path in sorted(
        {ProcessCounters.of(path) for path in folder.open.glob("*-*")}
        | {*folder.open.glob(f"*{ProcessCounters.SUFFIX}")}
    ):
        try:
            count += _recover_process(folder, path)
        except OSError as error:
            failed = error
    if failed:
        raise failed
    return count


def _recover_process(folder: LogDirectory, path: Path) -> bool:
    """Finish what one process left, by its tally; return False when it lives."""
    tally = ProcessCounters.adopt(path)
    if tally is None:
        return False
    with closing(tally):
        for segment in _end_segments(folder, tally):
            folder.finish(segment)
        tally.discard()
    return True


def _end_segments(folder: LogDirectory, tally: ProcessCounters) -> list[Path]:
    """Return the segments a process left, each with its end."""
    for partial in folder.open.glob(f"{tally.process}-*.partial"):
        partial.unlink()
    paths = [path for path in sorted(folder.open.glob(f"{tally.process}-*{PLAIN}")) if _truncate_torn_line(path)]
    last = _read_last_line(paths[-1]) if paths else None
    if isinstance(last, End) and last.last:
        return paths
    written = last.records if isinstance(last, End) else _count_records(paths[-1]) if paths else tally.written
    lost = max(tally.accepted - written, 0) + tally.dropped - tally.noted
    if lost and (not paths or isinstance(last, End)):
        paths.append(folder.path(tally.process, tally.number))
        LogSegment(paths[-1], create_header(tally, written)).close()
        last = None
    if paths and not isinstance(last, End):
        gap = [encode(Gap(time=now(), reason="not written", records=lost))] if lost else []
        _append_all(paths[-1], b"\n".join([*gap, encode(End(time=now(), records=written, last=True)), b""]))
    return paths


def create_header(tally: ProcessCounters, written: int) -> Header:
    """Return the header of a process's next segment, before which it wrote so many records."""
    return Header(time=now(), project=tally.project, process=tally.process, number=tally.number, records=written)


def _truncate_torn_line(path: Path) -> bool:
    """Cut a torn last line off; return whether a header is left, for without one there is nothing."""
    kept = 0
    with path.open("r+b") as stream:
        for line in stream:
            kept += len(line) if line.endswith(b"\n") else 0
        stream.truncate(kept)
    if not kept:
        path.unlink()
    return kept > 0


def _read_origin(path: Path) -> tuple[str, int]:
    """Return the project of a segment and when it was opened, µs."""
    with path.open("rb") as stream:
        try:
            first = decode(stream.readline())
        except ValueError:
            first = None
    return (
        (first.project, first.time) if isinstance(first, Header) else (DAMAGED, int(_modified_at(path) / MICROSECOND))
    )


def _read_last_line(path: Path) -> Line | None:
    """Return the last line, None when it is no line of a log."""
    last = b""
    with path.open("rb") as stream:
        for line in stream:
            last = line
    try:
        return decode(last)
    except ValueError:
        return None


def _count_records(path: Path) -> int:
    """Return how many records a process had written by the end of a segment of its."""
    count = 0
    for _, line in read_lines(path):
        try:
            found = decode(line)
        except ValueError:  # damaged by a power cut; `verify` will name it
            count += 1
            continue
        count += found.records if isinstance(found, Header) else isinstance(found, Decision | Feedback)
    return count


def _append_all(path: Path, data: bytes) -> None:
    """Append all of the data, or nothing. Raises OSError."""
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
    """Return whether a path below a log is that of a finished segment."""
    return name.endswith((PACKED, PLAIN)) and not {OPEN, ""} & {*name.split("/")[:-1]}


def format_day(time: int) -> str:
    """Return the day (UTC) of a time in µs, such as 2026-11-07."""
    return f"{datetime.fromtimestamp(time * MICROSECOND, UTC):%Y-%m-%d}"


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield a segment's lines with their numbers, from 1. Raises one of DAMAGE where it cannot be read on."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield from enumerate(stream, 1)


def _compress(path: Path, target: Path) -> str:
    """Compress a file and return the sha256 of what came out, which is a function of the file's content alone."""
    with (
        path.open("rb") as source,
        private_file.create(target) as stream,
        igzip.IGzipFile("", "wb", GZIP_LEVEL, stream, mtime=0) as packed,
    ):
        while block := source.read(BLOCK_BYTES):
            packed.write(block)
    with target.open("rb") as made:
        os.fsync(made.fileno())
    return manifest.sha256(target)


def _sync_folder(folder: Path) -> None:
    """Make a name in a folder safe from a power cut; it is there already, so an error is only logged."""
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
    except FileNotFoundError:  # finished or shipped meanwhile
        return 0


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
