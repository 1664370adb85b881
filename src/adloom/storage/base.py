"""Interfaces of storage."""

import errno
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_remote(path: str) -> bool:
    """Return whether a path lies in a store other than this machine's file system."""
    return path.startswith("s3://")


def describe_missing(path: str | Path) -> str:
    """Return the sentence that a path does not exist."""
    if "://" in str(path):
        return f"{path}: no such file or folder; expected a path, or s3://bucket/prefix in small letters"
    return f"{path}: no such file or folder" + ("" if Path(path).is_absolute() else f" in {Path.cwd()}")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source."""

    path: str  # below the URI, also below the folder that `fetch` returns
    bytes: int  # or DANGLING
    version: str = ""  # changes with the content: sha256:<hex> of a local file, etag:<value> of an object in S3


DANGLING = -1  # the bytes of a link that leads nowhere


class Store(Protocol):
    """Files by URI."""

    def list(self, uri: str) -> list[SourceFile]:
        """Return all files below a URI, sorted by path, without versions where those cost time. Raises DataError."""
        ...

    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        """Return listed files with their versions, without those that are gone."""
        ...

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        """
        Return the local path of the files: the URI if it is a path, else a copy in the folder.

        `paths` limits the copy to these files.
        """
        ...

    def read_start(self, uri: str, size: int) -> bytes:
        """Return up to `size` bytes from the start of a file. Raises DataError."""
        with (
            tempfile.TemporaryDirectory(prefix="adloom-") as scratch,
            self.fetch(uri, Path(scratch)).open("rb") as stream,
        ):
            return stream.read(size)

    def require(self, uri: str) -> None:
        """Raise when a push to a URI would fail."""
        ...

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder's files below a URI, the manifest last."""
        ...

    def remove(self, uri: str) -> None:
        """Delete everything under a URI; no error if it is empty."""
        ...


def fetch_file(store: Store, uri: str, path: str, folder: Path) -> Path:
    """Return the local path of a listed file: in place, else a copy in the folder."""
    fetched = store.fetch(uri, folder, {path})
    return fetched if fetched.is_file() else fetched / path


@dataclass(frozen=True)
class ObjectInfo:
    """A listed object."""

    size: int  # bytes
    written: datetime
    version: str = ""  # the ETag in S3


class ObjectStore(Protocol):
    """Objects by name below a URL."""

    url: str

    def list(self, prefix: str) -> Mapping[str, ObjectInfo]:
        """Return the object of this name and those below it."""
        ...

    def put(self, path: Path, name: str) -> None:
        """Upload a file. The object becomes visible when it is complete."""
        ...

    def get(self, name: str, path: Path) -> Path:
        """Download an object and return the path. Raises FileNotFoundError."""
        ...

    def remove(self, name: str) -> None:
        """Delete an object; no error if it does not exist."""
        ...


def read_object(store: ObjectStore, name: str) -> bytes:
    """Return the content of a small object. Raises FileNotFoundError."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        return store.get(name, Path(scratch) / "object").read_bytes()


def write_object(store: ObjectStore, name: str, content: bytes) -> None:
    """Write a small object."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        path = Path(scratch) / "object"
        path.write_bytes(content)
        store.put(path, name)
