"""Remotes that fail."""

from pathlib import Path

from adloom.storage.local import FolderObjectStore


class FlakyRemote(FolderObjectStore):
    """A remote that fails this many times, then works."""

    def __init__(self, url: str, failures: int) -> None:
        super().__init__(url)
        self.failures = failures

    def put(self, path: Path, name: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        super().put(path, name)


class TruncatingRemote(FolderObjectStore):
    """A remote that reports success but stores half of each file."""

    def put(self, path: Path, name: str) -> None:
        super().put(path, name)
        (self._root / name).write_bytes(path.read_bytes()[:50])
