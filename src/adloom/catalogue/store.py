"""The catalogue as a store: public data by name, read only."""

from collections.abc import Collection, Sequence
from pathlib import Path

from typing_extensions import override

from adloom.catalogue import entries
from adloom.catalogue.download import Downloads
from adloom.errors import ConfigError
from adloom.storage.base import SourceFile, Store


class CatalogueStore(Store):
    """Files of the catalogue's entries."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    @override
    def list(self, uri: str) -> list[SourceFile]:
        return list(entries.ENTRIES[uri].files)

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        del uri
        return files  # pinned

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        del folder, paths
        return self._downloads.fetch(uri)

    @override
    def require(self, uri: str) -> None:
        raise ConfigError(f"{uri}: a name of the catalogue, which cannot be written; ./{uri} is a folder")

    @override
    def push(self, folder: Path, uri: str) -> None:
        del folder
        self.require(uri)

    @override
    def remove(self, uri: str) -> None:
        self.require(uri)
