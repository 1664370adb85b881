"""The stores themselves: folders, S3, and the built-in catalogue, chosen by the uri."""

import shutil
from pathlib import Path

from adloom.errors import DataError
from adloom.io import manifest
from adloom.io.store import SourceFile
from adloom.settings import Settings


class FolderStore:
    """Files on this machine."""

    def list(self, uri: str) -> list[SourceFile]:
        """Return the file a path names, or all files below it."""
        root = Path(uri)
        if root.is_file():
            return [_source_file(root, root.parent)]
        found = [_source_file(path, root) for path in sorted(root.rglob("*")) if path.is_file()]
        if not found:
            raise DataError(f"{uri}: {'an empty folder' if root.is_dir() else 'no such file or folder'}")
        return found

    def fetch(self, uri: str, folder: Path) -> Path:
        """Return the path itself."""
        self.list(uri)
        return Path(uri)

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder."""
        shutil.copytree(folder, uri, dirs_exist_ok=True)


class Stores:
    """Every store, chosen by the uri."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = FolderStore()

    def list(self, uri: str) -> list[SourceFile]:
        """Return the files below a uri."""
        return self._folder.list(uri)

    def fetch(self, uri: str, folder: Path) -> Path:
        """Bring the files below a uri here."""
        return self._folder.fetch(uri, folder)

    def push(self, folder: Path, uri: str) -> None:
        """Copy a folder below a uri."""
        self._folder.push(folder, uri)


def _source_file(path: Path, root: Path) -> SourceFile:
    return SourceFile(str(path.relative_to(root)), path.stat().st_size, f"sha256:{manifest.sha256(path)}")
