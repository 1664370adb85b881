"""The catalogue as a store: public data by name, read only."""

from pathlib import Path

from adloom.catalogue import entries
from adloom.catalogue.download import Downloads
from adloom.errors import ConfigError
from adloom.storage.base import SourceFile


class CatalogueStore:
    """Files of the catalogue's entries."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    def list(self, uri: str) -> list[SourceFile]:
        """Return an entry's files as pinned, without a download."""
        return list(entries.ENTRIES[uri].files)

    def fetch(self, uri: str, folder: Path) -> Path:
        """Download an entry and return its folder."""
        del folder
        return self._downloads.fetch(uri)

    def require(self, uri: str) -> None:
        """Raise ConfigError: the catalogue cannot be written."""
        raise ConfigError(f"{uri}: a name of the catalogue, which cannot be written; ./{uri} is a folder")

    def push(self, folder: Path, uri: str) -> None:
        """Raise ConfigError."""
        del folder
        self.require(uri)

    def remove(self, uri: str) -> None:
        """Raise ConfigError."""
        self.require(uri)
