"""Logs as they are read: the finished segments below folders and s3:// prefixes, one at a time and each once."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adloom.decisions import segments
from adloom.errors import DataError
from adloom.io.store import Store

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Found:
    """A segment in a log."""

    name: str  # as people see it: where it lies
    uri: str
    sha256: str | None  # that its name promises

    @contextmanager
    def here(self, store: Store) -> Iterator[Path]:
        """Bring it here for as long as the block lasts, unless it is here."""
        with tempfile.TemporaryDirectory(prefix="adloom-log-") as scratch:
            yield store.fetch(self.uri, Path(scratch))


def find(logs: Sequence[str], store: Store) -> list[Found]:
    """
    Return the finished segments below some uris, by name; one that lies in several places is there once.

    What is still being written is left out. A uri may be that of one segment. Raises DataError when none is found.
    """
    found: dict[str, Found] = {}
    for log in logs:
        for file in store.list(log):
            single = log.endswith(f"/{file.path}") or log == file.path
            uri = log if single else f"{log.rstrip('/')}/{file.path}"
            if single or segments.is_finished(file.path):
                stem = uri.rpartition("/")[2].partition(".")[0]
                sha256 = stem if _SHA256.fullmatch(stem) else None
                found.setdefault(sha256 or uri, Found(uri, uri, sha256))
    if not found:
        raise DataError(f"{', '.join(logs)}: no finished segment of a decision log; one is finished when it is rotated")
    return sorted(found.values(), key=lambda one: one.uri)
