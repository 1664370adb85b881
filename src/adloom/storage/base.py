"""Stores: where source files and artifacts lie outside this machine's working folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: its path below the uri, its size, and what changes when its content does."""

    path: str
    bytes: int
    version: str  # sha256:<hex> where it can be had, else etag:<value>


class Store(Protocol):
    """What stages need of a store."""

    def list(self, uri: str) -> list[SourceFile]:
        """Return the files below a uri, sorted by path. Raises DataError when there are none."""
        ...

    def fetch(self, uri: str, folder: Path) -> Path:
        """Bring the files below a uri into a folder and return where they lie: the uri itself when it is local."""
        ...

    def require(self, uri: str) -> None:
        """Raise when nothing could be pushed to a uri: called before the work whose result goes there."""
        ...

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder's files below a uri, its manifest last."""
        ...

    def remove(self, uri: str) -> None:
        """Delete whatever lies below a uri; nothing may."""
        ...
