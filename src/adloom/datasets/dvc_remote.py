"""
Datasets in a remote of DVC's.

Objects are files/md5/xx/…, as DVC has them: one of each file, and one of each folder with its listing, which ends in
.dir. Documents are datasets/<digest>.json.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adloom.config.settings import Settings
from adloom.datasets.dvc_cache import DirectoryHash, DvcCache, compute_md5
from adloom.datasets.dvc_config import find_remote
from adloom.datasets.dvc_objects import DvcObjectStore, open_s3_objects
from adloom.errors import DataError
from adloom.storage.base import ObjectStore, read_object, write_object
from adloom.storage.s3_client import S3Options
from adloom.storage.transfers import map_concurrently

DOCUMENTS = "datasets"
FILES = "files/md5"
PUSH_AGAIN = "`adloom dataset push` where the dataset was prepared"


@dataclass(frozen=True)
class Document:
    """A document of a remote."""

    digest: str
    written: datetime


class Remote:
    """A remote of DVC's."""

    def __init__(self, objects: ObjectStore, progress: bool) -> None:
        self.url = objects.url
        self._objects, self._progress = objects, progress

    def list_documents(self) -> list[Document]:
        """Return the documents, oldest first."""
        objects = self._objects.list(f"{DOCUMENTS}/").items()
        documents = [Document(Path(name).stem, info.written) for name, info in objects if name.endswith(".json")]
        return sorted(documents, key=lambda document: (document.written, document.digest))

    def read_document(self, digest: str) -> bytes:
        """Return a document. Raises DataError."""
        try:
            return read_object(self._objects, _document_name(digest))
        except FileNotFoundError:
            raise DataError(f"{self.url}/{_document_name(digest)}: missing; {PUSH_AGAIN}") from None

    def write_document(self, digest: str, content: bytes) -> None:
        """Write a document."""
        write_object(self._objects, _document_name(digest), content)

    def remove_document(self, digest: str) -> None:
        """Delete a document."""
        self._objects.remove(_document_name(digest))

    def list_objects(self) -> dict[str, int]:
        """Return the sizes of all objects by MD5."""
        objects = self._objects.list(f"{FILES}/")
        return {name.removeprefix(f"{FILES}/").replace("/", ""): info.size for name, info in objects.items()}

    def list_directory(self, md5: str) -> set[str]:
        """Return the objects of a folder. Raises FileNotFoundError without its listing."""
        return {entry["md5"] for entry in json.loads(read_object(self._objects, _object_name(md5)))}

    def remove_object(self, md5: str) -> None:
        """Delete an object."""
        self._objects.remove(_object_name(md5))

    def push(self, folder: Path, directory: DirectoryHash) -> int:
        """Upload missing objects, the listing last; return their number. Raises DataError for a changed file."""
        files = [(md5, folder / path) for md5, path in directory.files.items()]
        uploaded = map_concurrently(lambda item: self._upload(*item), files, f"push {folder.name}", self._progress)
        with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
            listing = Path(scratch) / "listing"
            listing.write_bytes(directory.listing)
            return sum(uploaded) + self._upload(directory.md5, listing)

    def fetch(self, md5: str, cache: DvcCache) -> None:
        """Download a folder into a cache. Raises DataError when an object is missing or damaged."""
        self._download(md5, cache)
        files = cache.list_directory(md5)
        map_concurrently(lambda file: self._download(file, cache), files, f"fetch {md5[:8]}", self._progress)

    def _upload(self, md5: str, path: Path) -> bool:
        name = _object_name(md5)
        existing = self._objects.list(name).get(name)
        if existing and existing.size == path.stat().st_size:
            return False
        with _copy_verified(path, md5) as copy:
            self._objects.put(copy, name)
        return True

    def _download(self, md5: str, cache: DvcCache) -> None:
        if cache.has(md5):
            return
        name = _object_name(md5)
        try:
            with cache.add(md5) as path:
                self._objects.get(name, path)
        except FileNotFoundError:
            raise DataError(f"{self.url}/{name}: missing; {PUSH_AGAIN}") from None
        if not cache.has(md5):
            raise DataError(f"{self.url}/{name}: damaged, its content does not match its name; delete it, {PUSH_AGAIN}")


def open_remote(settings: Settings, folder: Path = Path(), options: S3Options | None = None) -> Remote:
    """Open the environment's remote, else DVC's default. Raises ConfigError without one."""
    url, kind, config, root = find_remote(settings, folder)
    if kind.protocol == "s3":
        objects = open_s3_objects(url, config, settings.s3_endpoint, options or S3Options())
    else:
        objects = DvcObjectStore(url, kind(**config), root)
    return Remote(objects, not settings.quiet)


def _document_name(digest: str) -> str:
    return f"{DOCUMENTS}/{digest}.json"


def _object_name(md5: str) -> str:
    return f"{FILES}/{md5[:2]}/{md5[2:]}"


@contextmanager
def _copy_verified(path: Path, md5: str) -> Iterator[Path]:
    """Yield a copy of a file. Raises DataError unless it matches its MD5."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        copy = Path(shutil.copyfile(path, Path(scratch) / "content"))
        if compute_md5(copy) != md5.removesuffix(".dir"):
            raise DataError(f"{path}: changed during the push; push again when no other program writes to it")
        yield copy
