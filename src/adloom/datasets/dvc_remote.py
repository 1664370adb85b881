"""
Datasets by content: the objects that DVC makes of a folder, and the remote and the cache that hold them.

In a remote, each file is an object files/md5/xx/…, each folder one more that ends in .dir and lists its files: where
`dvc push` and `dvc pull` have theirs. Beside them lie the documents datasets/<digest>.json. DVC takes a second to
import, so it is imported when it is first used.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adloom.config.settings import Settings
from adloom.datasets.dvc_objects import DvcObjectStore, open_s3_objects
from adloom.errors import AdloomError, ConfigError, DataError
from adloom.storage.base import ObjectStore, read_object, write_object
from adloom.storage.s3_client import S3Options
from adloom.storage.transfers import map_concurrently

DOCUMENTS = "datasets"
FILES = "files/md5"
AGAIN = "`adloom dataset push` where the dataset was made"
NAME_ONE = "`dvc remote add --default NAME s3://bucket/prefix` names one, or ADLOOM_DVC_REMOTE=s3://bucket/prefix"


@dataclass(frozen=True)
class DirectoryHash:
    """What DVC calls a folder, and what is in it."""

    md5: str  # of its listing; ends in .dir
    size: int  # bytes of all files
    files: dict[str, str]  # md5 of each file: a path it has below the folder
    listing: bytes


@dataclass(frozen=True)
class Document:
    """A document of a remote."""

    digest: str
    written: datetime


class DvcCache:
    """DVC's cache of a folder."""

    def __init__(self, odb: Any) -> None:
        self.odb = odb

    def holds(self, md5: str) -> bool:
        """Return whether an object is here and whole; one that is damaged is removed."""
        path = Path(self.odb.oid_to_path(md5))
        if not path.is_file():
            return False
        if _md5(path) == md5.removesuffix(".dir"):
            return True
        path.unlink()
        return False

    @contextmanager
    def taking(self, md5: str) -> Iterator[Path]:
        """Yield where to write an object that is here once the block ends, and no part of it before."""
        path = Path(self.odb.oid_to_path(md5))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="adloom-", dir=path.parent) as place:
            try:
                yield Path(place) / path.name
            except OSError as error:
                error.filename = error.filename or str(path)  # a full disk says not where it is full
                raise
            (Path(place) / path.name).replace(path)
        self.odb.protect(str(path))

    def keeps(self, content: DirectoryHash) -> bool:
        """Return whether a folder could be laid out again."""
        return all(self.odb.exists(md5) for md5 in (content.md5, *content.files))

    def listed(self, md5: str) -> list[str]:
        """Return the objects of a folder's files. Raises DataError when one would lie outside of it."""
        return [entry.value for _, _, entry in self._tree(md5)]

    def lay_out(self, md5: str, target: Path) -> None:
        """Write a folder whose objects are all here, as copies or links as DVC is configured."""
        from dvc.fs import localfs
        from dvc_data.hashfile.checkout import LinkError, checkout

        target.mkdir(parents=True)
        try:
            checkout(str(target.absolute()), localfs, self._tree(md5), self.odb, force=True)
        except LinkError as error:
            why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
            raise AdloomError(f"{error.path}: cannot be written: {why}") from None

    def _tree(self, md5: str) -> Any:
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        tree = Tree.load(self.odb, HashInfo("md5", md5))
        for parts, _, _ in tree:
            if {"", ".", ".."} & {*parts} or any("/" in part for part in parts):
                raise DataError(f"{md5}: {'/'.join(parts)}: a file that lies outside of its folder")
        return tree


class Remote:
    """A remote of DVC's. What S3 does wrong is one line, within 30 seconds."""

    def __init__(self, objects: ObjectStore, progress: bool) -> None:
        self.url = objects.url
        self._objects, self._progress = objects, progress

    def documents(self) -> list[Document]:
        """Return the documents, oldest first; none when the remote is new."""
        found = self._objects.list(f"{DOCUMENTS}/")
        written = [Document(Path(name).stem, one.written) for name, one in found.items() if name.endswith(".json")]
        return sorted(written, key=lambda document: (document.written, document.digest))

    def read(self, digest: str) -> bytes:
        """Return a document. Raises DataError when it is gone."""
        try:
            return read_object(self._objects, f"{DOCUMENTS}/{digest}.json")
        except FileNotFoundError:
            raise DataError(f"{self.url}/{DOCUMENTS}/{digest}.json: gone; {AGAIN}") from None

    def write(self, digest: str, content: bytes) -> None:
        """Make a document, which is there whole or not at all."""
        write_object(self._objects, f"{DOCUMENTS}/{digest}.json", content)

    def forget(self, digest: str) -> None:
        """Delete a document."""
        self._objects.remove(f"{DOCUMENTS}/{digest}.json")

    def objects(self) -> dict[str, int]:
        """Return the size of every object of a file or a folder, by its md5."""
        found = self._objects.list(f"{FILES}/")
        return {name.removeprefix(f"{FILES}/").replace("/", ""): one.size for name, one in found.items()}

    def listed(self, md5: str) -> set[str]:
        """Return the objects of a folder's files. Raises FileNotFoundError when its listing is gone."""
        return {entry["md5"] for entry in json.loads(read_object(self._objects, _name(md5)))}

    def remove(self, md5: str) -> None:
        """Delete an object."""
        self._objects.remove(_name(md5))

    def push(self, folder: Path, content: DirectoryHash) -> int:
        """
        Send those objects of a folder that are not there yet, its listing last, and return how many they were.

        Raises DataError when a file was changed since, before anything is sent under a name that is not its content's.
        """
        files = [(md5, folder / path) for md5, path in content.files.items()]
        sent = map_concurrently(lambda item: self._send(*item), files, f"push {folder.name}", self._progress)
        with _file(content.listing) as listing:
            return sum(sent) + self._send(content.md5, listing)

    def fetch(self, md5: str, cache: DvcCache) -> None:
        """Bring a folder's objects into a cache. Raises DataError when one is missing or damaged."""
        self._receive(md5, cache)
        map_concurrently(lambda one: self._receive(one, cache), cache.listed(md5), f"fetch {md5[:8]}", self._progress)

    def _send(self, md5: str, path: Path) -> bool:
        held = self._objects.list(_name(md5)).get(_name(md5))
        if held and held.size == path.stat().st_size:
            return False
        with _still(path, md5) as copy:
            self._objects.put(copy, _name(md5))
        return True

    def _receive(self, md5: str, cache: DvcCache) -> None:
        if cache.holds(md5):
            return
        try:
            with cache.taking(md5) as path:
                self._objects.get(_name(md5), path)
        except FileNotFoundError:
            raise DataError(f"{self.url}/{_name(md5)}: gone; {AGAIN}") from None
        if not cache.holds(md5):
            raise DataError(
                f"{self.url}/{_name(md5)}: damaged, its content is not what its name says; delete it, {AGAIN}"
            )


def hash_folder(folder: Path) -> DirectoryHash:
    """Return what DVC calls a folder."""
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import get_odb

    place = str(folder.resolve())
    _, meta, tree = build(get_odb(localfs, place, hash_name="md5"), place, localfs, "md5", dry_run=True)
    files = {entry.value: "/".join(parts) for parts, _, entry in tree}
    return DirectoryHash(tree.oid, meta.size, files, tree.as_bytes())


def open_remote(settings: Settings, folder: Path = Path(), options: S3Options | None = None) -> Remote:
    """Return the remote that the environment names, else DVC's default. Raises ConfigError when there is none."""
    dvc_config = _config(folder)
    name = dvc_config["core"].get("remote")
    if not settings.dvc_remote and not name:
        raise ConfigError(f"no remote for datasets; {NAME_ONE}")

    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs

    try:
        url = settings.dvc_remote or str(dvc_config["remote"][name.lower()]["url"])
        given = {"url": url if "://" in url else str(Path(url).absolute())} if settings.dvc_remote else {"name": name}
        kind, config, path = get_cloud_fs(dvc_config, **given)
    except (DvcException, KeyError) as error:
        raise ConfigError(f"remote {settings.dvc_remote or name}: {error}; {NAME_ONE}") from None
    if kind.protocol == "s3":
        return Remote(open_s3_objects(url, config, settings.s3_endpoint, options or S3Options()), not settings.quiet)
    return Remote(DvcObjectStore(url, kind(**config), path), not settings.quiet)


def open_cache(folder: Path) -> DvcCache:
    """Return the cache of a folder of DVC's."""
    from dvc.fs import get_cloud_fs
    from dvc_data.hashfile.db import get_odb

    given = dict(_config(folder)["cache"])
    url = given.pop("dir", None) or str((folder / ".dvc" / "cache").absolute())
    known = {name: value for name, value in given.items() if name in {"type", "shared"}}
    kind, options, path = get_cloud_fs(None, url=url, **known)
    fs = kind(**options)
    return DvcCache(get_odb(fs, fs.join(path, "files", "md5"), hash_name="md5", **options))


def _config(folder: Path) -> Any:
    try:
        from dvc.config import Config
        from dvc.config import ConfigError as DvcConfigError
    except ModuleNotFoundError:
        raise ConfigError("DVC is not installed; `pip install 'adloom[train]'` brings it") from None
    place = folder / ".dvc"
    try:
        return Config(str(place.absolute()) if place.is_dir() else None)
    except DvcConfigError as error:
        raise ConfigError(f"{place}/config: {error}") from None


def _name(md5: str) -> str:
    return f"{FILES}/{md5[:2]}/{md5[2:]}"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        path = Path(place) / "content"
        path.write_bytes(content)
        yield path


@contextmanager
def _still(path: Path, md5: str) -> Iterator[Path]:
    """Yield a copy that nobody writes to. Raises DataError when its content is not what its name is to be."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        copy = Path(shutil.copyfile(path, Path(place) / "content"))
        if _md5(copy) != md5.removesuffix(".dir"):
            raise DataError(f"{path}: changed while it was pushed; push again when nothing writes there")
        yield copy
