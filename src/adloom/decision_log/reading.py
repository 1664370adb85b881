"""Read the finished segments of logs."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from adloom.decision_log import segment_file
from adloom.decision_log.record import Header, Line, decode
from adloom.errors import DataError
from adloom.storage.base import Store, is_remote


class DamagedError(Exception):
    """Raised when a segment cannot be read completely."""


START_BYTES = 4096  # of a segment, which hold its header
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SegmentRef:
    """A segment of a log."""

    name: str  # its uri or path
    uri: str
    sha256: str | None  # from its name

    @property
    def key(self) -> str:
        """Equal for segments of the same content."""
        return self.sha256 or self.uri

    @contextmanager
    def local_copy(self, store: Store) -> Iterator[Path]:
        """Provide a local path. Raises DamagedError if the segment is gone."""
        with tempfile.TemporaryDirectory(prefix="adloom-log-") as scratch:
            try:
                path = store.fetch(self.uri, Path(scratch))
            except DataError as error:  # deleted since it was listed
                raise DamagedError(str(error)) from None
            yield path

    def read_opening_time(self, store: Store) -> int:
        """Return the time in µs at which it was opened, before all of its records; 0 if it is damaged or gone."""
        with suppress(DataError, ValueError, *segment_file.DAMAGE_ERRORS):
            header = decode(segment_file.read_first_line(self.uri, store.read_start(self.uri, START_BYTES)))
            return header.time if isinstance(header, Header) else 0
        return 0

    def read_lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield numbered lines, from 1. Raises DamagedError at damage."""
        number = 0
        try:
            for number, line in segment_file.read_lines(path):
                yield number, line
        except segment_file.DAMAGE_ERRORS as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise DamagedError(f"{self.name}: damaged after line {number}: {reason}") from None

    def read_records(self, store: Store, *marks: bytes) -> Iterator[Line]:
        """Yield valid records up to any damage, of lines with one of the marks; `adloom log verify` reports others."""
        try:
            with self.local_copy(store) as path:
                for _, line in self.read_lines(path):
                    if any(mark in line for mark in marks):
                        with suppress(ValueError):
                            yield decode(line)
        except DamagedError:
            return


def find_segments(logs: Sequence[str], store: Store) -> list[SegmentRef]:
    """
    Return the finished segments of some logs, without duplicates.

    A uri may name one segment. Raises DataError without segments.
    """
    segments: dict[str, SegmentRef] = {}
    for log in logs:
        for name in _list_paths(log, store):
            single = log.endswith(f"/{name}") or log == name
            uri = log if single else f"{log.rstrip('/')}/{name}"
            if single or segment_file.is_finished(name):
                stem = uri.rpartition("/")[2].partition(".")[0]
                sha256 = stem if _SHA256.fullmatch(stem) else None
                segments.setdefault(sha256 or uri, SegmentRef(uri, uri, sha256))
    if not segments:
        raise DataError(
            f"{', '.join(logs)}: no finished segment of a decision log; a segment is finished when it is rotated"
        )
    return sorted(segments.values(), key=lambda segment: segment.uri)


def _list_paths(log: str, store: Store) -> list[str]:
    root = Path(log)
    if is_remote(log) or not root.is_dir():
        return [file.path for file in store.list(log)]
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
