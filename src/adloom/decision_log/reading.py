"""Logs as they are read: the finished segments below folders and s3:// prefixes, one at a time and each once."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adloom.decision_log import segment_file
from adloom.errors import DataError
from adloom.stages.runner import is_remote
from adloom.storage.base import Store


class DamagedError(Exception):
    """A segment cannot be read to its end; its message names the segment and says why."""


_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SegmentRef:
    """A segment in a log."""

    name: str  # as people see it: where it lies
    uri: str
    sha256: str | None  # that its name promises

    @contextmanager
    def here(self, store: Store) -> Iterator[Path]:
        """Bring it here for as long as the block lasts, unless it is here. Raises DamagedError when it is gone."""
        with tempfile.TemporaryDirectory(prefix="adloom-log-") as scratch:
            try:
                path = store.fetch(self.uri, Path(scratch))
            except DataError as error:  # it was there when the log was listed
                raise DamagedError(str(error)) from None
            yield path

    def lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield its lines with their numbers, from 1. Raises DamagedError where it cannot be read on."""
        number = 0
        try:
            for number, line in segment_file.read_lines(path):
                yield number, line
        except segment_file.DAMAGE_ERRORS as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise DamagedError(f"{self.name}: damaged after line {number}: {reason}") from None


def find_segments(logs: Sequence[str], store: Store) -> list[SegmentRef]:
    """
    Return the finished segments below some uris, by name; one that lies in several places is there once.

    What is still being written is left out. A uri may be that of one segment. Raises DataError when none is found.
    """
    found: dict[str, SegmentRef] = {}
    for log in logs:
        for name in _list_paths(log, store):
            single = log.endswith(f"/{name}") or log == name
            uri = log if single else f"{log.rstrip('/')}/{name}"
            if single or segment_file.is_finished(name):
                stem = uri.rpartition("/")[2].partition(".")[0]
                sha256 = stem if _SHA256.fullmatch(stem) else None
                found.setdefault(sha256 or uri, SegmentRef(uri, uri, sha256))
    if not found:
        raise DataError(f"{', '.join(logs)}: no finished segment of a decision log; one is finished when it is rotated")
    return sorted(found.values(), key=lambda one: one.uri)


def _list_paths(log: str, store: Store) -> list[str]:
    """Return the paths below a log. Files on this machine are not opened: one that is damaged holds up no other."""
    root = Path(log)
    if is_remote(log) or not root.is_dir():
        return [file.path for file in store.list(log)]
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
