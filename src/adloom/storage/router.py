"""Choice of the store or object store by URI."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from adloom.storage.base import ObjectStore, SourceFile, Store
from adloom.storage.local import FolderObjectStore, FolderStore
from adloom.storage.s3 import S3ObjectStore
from adloom.storage.s3_client import S3Client, S3Options


class StoreRouter(Store):
    """Route a URI to its store: s3://…, a name in `named`, or a path."""

    def __init__(self, s3: Store, named: Mapping[str, Store]) -> None:
        self._s3, self._named, self._folder = s3, named, FolderStore()

    @override
    def list(self, uri: str) -> list[SourceFile]:
        return self._find_store(uri).list(uri)

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        return self._find_store(uri).add_versions(uri, files)

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        return self._find_store(uri).fetch(uri, folder, paths)

    @override
    def read_start(self, uri: str, size: int) -> bytes:
        return self._find_store(uri).read_start(uri, size)

    @override
    def require(self, uri: str) -> None:
        self._find_store(uri).require(uri)

    @override
    def push(self, folder: Path, uri: str) -> None:
        self._find_store(uri).push(folder, uri)

    @override
    def remove(self, uri: str) -> None:
        self._find_store(uri).remove(uri)

    def _find_store(self, uri: str) -> Store:
        return self._s3 if uri.startswith("s3://") else self._named.get(uri, self._folder)


def open_object_store(url: str, endpoint: str | None, options: S3Options | None = None) -> ObjectStore:
    """Open the objects below s3://bucket/prefix or a folder."""
    return S3ObjectStore(url, S3Client(endpoint, options)) if url.startswith("s3://") else FolderObjectStore(url)
