"""The stores themselves: folders, S3, and the built-in catalogue, chosen by the uri."""

import shutil
from pathlib import Path

from adloom.catalogue import entries
from adloom.catalogue.download import Downloads
from adloom.config.settings import Settings
from adloom.errors import ConfigError, DataError
from adloom.storage import manifest
from adloom.storage.base import SourceFile, Store
from adloom.storage.s3 import S3Store
from adloom.storage.s3_errors import PATIENCE, Patience


class FolderStore:
    """Files on this machine."""

    def list(self, uri: str) -> list[SourceFile]:
        """Return the file a path names, or all files below it, hidden ones left out."""
        root = Path(uri)
        if root.is_file():
            return [_source_file(root, root.parent)]
        found = [_source_file(path, root) for path in sorted(root.rglob("*")) if path.is_file() and path.name[0] != "."]
        if not found:
            raise DataError(f"{uri}: {'an empty folder' if root.is_dir() else 'no such file or folder'}")
        return sorted(found, key=lambda file: file.path)

    def fetch(self, uri: str, folder: Path) -> Path:
        """Return the path itself."""
        del folder
        if not Path(uri).exists():
            raise DataError(f"{uri}: no such file or folder")
        return Path(uri)

    def require(self, uri: str) -> None:
        """Raise DataError when a path cannot be a folder, for a file is in the way."""
        if blocked := next((path for path in (Path(uri), *Path(uri).parents) if path.is_file()), None):
            raise DataError(f"{uri}: {blocked} is a file, expected a folder")

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder to a path, which is the old folder or the new one and never a part of it."""
        target = Path(uri)
        beside = target.with_name(f".{target.name}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(folder, beside)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)

    def remove(self, uri: str) -> None:
        """Delete a folder."""
        shutil.rmtree(uri, ignore_errors=True)


class CatalogueStore:
    """Public data that the catalogue names; read only."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    def list(self, uri: str) -> list[SourceFile]:
        """Return an entry's files as they are pinned, without fetching them."""
        return list(entries.ENTRIES[uri].files)

    def fetch(self, uri: str, folder: Path) -> Path:
        """Return where an entry's files lie once they are downloaded."""
        del folder
        return self._downloads.fetch(uri)

    def require(self, uri: str) -> None:
        """Refuse."""
        raise ConfigError(f"{uri}: a name of the catalogue, which cannot be written; ./{uri} is a folder")

    def push(self, folder: Path, uri: str) -> None:
        """Refuse."""
        del folder
        self.require(uri)

    def remove(self, uri: str) -> None:
        """Refuse."""
        self.require(uri)


class Stores:
    """Every store, chosen by the uri: s3://…, a name of the catalogue, or a path."""

    def __init__(self, settings: Settings, patience: Patience = PATIENCE) -> None:
        progress = not settings.quiet
        self._folder = FolderStore()
        self._catalogue = CatalogueStore(Downloads(settings.home / "downloads", progress))
        self._s3 = S3Store(settings.s3_endpoint, progress, patience)

    def list(self, uri: str) -> list[SourceFile]:
        """Return the files below a uri."""
        return self._for(uri).list(uri)

    def fetch(self, uri: str, folder: Path) -> Path:
        """Bring the files below a uri here."""
        return self._for(uri).fetch(uri, folder)

    def require(self, uri: str) -> None:
        """Raise when nothing could be pushed to a uri."""
        self._for(uri).require(uri)

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder below a uri."""
        self._for(uri).push(folder, uri)

    def remove(self, uri: str) -> None:
        """Delete what lies below a uri."""
        self._for(uri).remove(uri)

    def _for(self, uri: str) -> Store:
        if uri.startswith("s3://"):
            return self._s3
        return self._catalogue if uri in entries.ENTRIES else self._folder


def _source_file(path: Path, root: Path) -> SourceFile:
    return SourceFile(path.relative_to(root).as_posix(), path.stat().st_size, f"sha256:{manifest.sha256(path)}")
