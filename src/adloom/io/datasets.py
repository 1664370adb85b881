"""
Datasets by content: the objects that DVC makes of a folder, and the remote and the cache that hold them.

In a remote, each file is an object files/md5/xx/…, each folder one more that ends in .dir and lists its files: where
`dvc push` and `dvc pull` have theirs. Beside them lie the documents datasets/<digest>.json. DVC takes a second to
import, so it is imported when it is first used.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adloom.errors import DataError, OutsideError, ParamsError
from adloom.io.s3_faults import PATIENCE, Made, Patience, asking, each
from adloom.settings import Settings

DOCUMENTS = "datasets"
NAME_ONE = "`dvc remote add --default NAME s3://bucket/prefix` names one, or ADLOOM_DVC_REMOTE=s3://bucket/prefix"


@dataclass(frozen=True)
class Content:
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


class Cache:
    """DVC's cache of a folder, or what lies where its remote keeps objects."""

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

    def keeps(self, content: Content) -> bool:
        """Return whether a folder could be laid out again."""
        return all(self.odb.exists(md5) for md5 in (content.md5, *content.files))

    def listed(self, md5: str) -> list[str]:
        """Return the objects of a folder's files. Raises DataError when one would lie outside of it."""
        return [entry.value for _, _, entry in self._tree(md5)]

    def lay_out(self, md5: str, target: Path) -> None:
        """Write a folder whose objects are all here, as copies or links as DVC is configured."""
        from dvc.fs import localfs
        from dvc_data.hashfile.checkout import checkout

        target.mkdir(parents=True)
        checkout(str(target.absolute()), localfs, self._tree(md5), self.odb, force=True)

    def _tree(self, md5: str) -> Any:
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        tree = Tree.load(self.odb, HashInfo("md5", md5))
        for parts, _, _ in tree:
            if {"", ".", ".."} & {*parts} or any("/" in part for part in parts):
                raise DataError(f"{md5}: {'/'.join(parts)}: a file that lies outside of its folder")
        return tree


class Remote:
    """A remote of DVC's: S3, or a folder. What S3 does wrong is one line, within 30 seconds."""

    def __init__(self, url: str, fs: Any, path: str, progress: bool = False, patience: Patience = PATIENCE) -> None:
        from dvc_data.hashfile.db import get_odb

        self.url = url
        self._fs, self._path = fs, path
        self._odb = get_odb(fs, fs.join(path, "files", "md5"), hash_name="md5")
        self._progress, self._patience = progress, patience

    def documents(self) -> list[Document]:
        """Return the documents, oldest first; none when the remote is new."""
        paths = [path for path in self._asked(lambda: [*self._fs.find(self._at())]) if path.endswith(".json")]
        infos = each(
            lambda path: self._asked(lambda: self._fs.info(path)), paths, f"look at {self.url}", progress=False
        )
        written = [Document(Path(path).stem, _written(info)) for path, info in zip(paths, infos, strict=True)]
        return sorted(written, key=lambda document: (document.written, document.digest))

    def read(self, digest: str) -> bytes:
        """Return a document."""
        content: bytes = self._asked(lambda: self._fs.cat_file(self._at(digest)))
        return content

    def write(self, digest: str, content: bytes) -> None:
        """Make a document, which is there whole or not at all."""
        with _file(content) as path:
            self._asked(lambda: self._fs.put_file(str(path), self._at(digest)))

    def push(self, folder: Path, content: Content) -> int:
        """Send those objects of a folder that are not there yet, its listing last, and return how many they were."""
        files = [(md5, folder / path) for md5, path in content.files.items()]
        sent = each(lambda item: self._send(*item), files, f"push {folder.name}", self._progress)
        with _file(content.listing) as listing:
            return sum(sent) + self._send(content.md5, listing)

    def fetch(self, md5: str, cache: Cache) -> None:
        """Bring a folder's objects into a cache. Raises DataError when one is missing or damaged."""
        self._receive(md5, cache)
        each(lambda one: self._receive(one, cache), cache.listed(md5), f"fetch {md5[:8]}", self._progress)

    def _send(self, md5: str, path: Path) -> bool:
        from dvc.fs import localfs

        if self._holds(md5, path.stat().st_size):
            return False
        self._asked(lambda: self._odb.add(str(path.resolve()), localfs, md5, check_exists=False))
        return True

    def _holds(self, md5: str, size: int) -> bool:
        try:
            info = self._asked(lambda: self._fs.info(self._odb.oid_to_path(md5)))
        except FileNotFoundError:
            return False
        return bool(info["size"] == size)

    def _receive(self, md5: str, cache: Cache) -> None:
        if cache.holds(md5):
            return
        source = self._odb.oid_to_path(md5)
        try:
            self._asked(lambda: cache.odb.add(source, self._fs, md5, check_exists=False))
        except FileNotFoundError:
            raise DataError(f"{self._name(md5)}: gone; `adloom dataset push` where the dataset was made") from None
        if not cache.holds(md5):
            raise DataError(
                f"{self._name(md5)}: damaged, its content is not what its name says; "
                "delete it, then `adloom dataset push` where the dataset was made"
            )

    def _name(self, md5: str) -> str:
        return f"{self.url}/files/md5/{md5[:2]}/{md5[2:]}"

    def _at(self, digest: str | None = None) -> str:
        names = [DOCUMENTS] if digest is None else [DOCUMENTS, f"{digest}.json"]
        return str(self._fs.join(self._path, *names))

    def _asked(self, do: Callable[[], Made]) -> Made:
        """Do something with the remote; what S3 said is told as S3Store tells it."""
        with asking(self.url, self._fs.config.get("endpointurl")):
            return self._patience.tried(lambda: _bare(self.url, do))


def contents(folder: Path) -> Content:
    """Return what DVC calls a folder."""
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import get_odb

    place = str(folder.resolve())
    _, meta, tree = build(get_odb(localfs, place, hash_name="md5"), place, localfs, "md5", dry_run=True)
    files = {entry.value: "/".join(parts) for parts, _, entry in tree}
    return Content(tree.oid, meta.size, files, tree.as_bytes())


def remote(settings: Settings, folder: Path = Path(), patience: Patience = PATIENCE) -> Remote:
    """Return the remote that the environment names, else DVC's default. Raises ParamsError when there is none."""
    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs

    config = _config(folder)
    name = config["core"].get("remote")
    if not settings.dvc_remote and not name:
        raise ParamsError(f"no remote for datasets; {NAME_ONE}")
    try:
        url = settings.dvc_remote or str(config["remote"][name.lower()]["url"])
        given = {"url": url if "://" in url else str(Path(url).absolute())} if settings.dvc_remote else {"name": name}
        kind, options, path = get_cloud_fs(config, **given)
    except (DvcException, KeyError) as error:
        raise ParamsError(f"remote {settings.dvc_remote or name}: {error}; {NAME_ONE}") from None
    return Remote(url, _open(kind, options, settings, patience), path, not settings.quiet, patience)


def cache(folder: Path) -> Cache:
    """Return the cache of a folder of DVC's."""
    from dvc.fs import get_cloud_fs
    from dvc_data.hashfile.db import get_odb

    given = dict(_config(folder)["cache"])
    url = given.pop("dir", None) or str((folder / ".dvc" / "cache").absolute())
    known = {name: value for name, value in given.items() if name in {"type", "shared"}}
    kind, options, path = get_cloud_fs(None, url=url, **known)
    fs = kind(**options)
    return Cache(get_odb(fs, fs.join(path, "files", "md5"), hash_name="md5", **options))


def _config(folder: Path) -> Any:
    try:
        from dvc.config import Config, ConfigError
    except ModuleNotFoundError:
        raise ParamsError("DVC is not installed; `pip install 'adloom[train]'` brings it") from None
    place = folder / ".dvc"
    try:
        return Config(str(place.absolute()) if place.is_dir() else None)
    except ConfigError as error:
        raise ParamsError(f"{place}/config: {error}") from None


def _open(kind: Any, options: dict[str, Any], settings: Settings, patience: Patience) -> Any:
    """Open a remote's file system; one of S3 waits no longer than a store of S3 does."""
    from botocore.exceptions import ConfigNotFound

    if kind.protocol != "s3":
        return kind(**options)
    if settings.s3_endpoint:
        options.setdefault("endpointurl", settings.s3_endpoint)
    options.setdefault("connect_timeout", patience.connection)
    options.setdefault("read_timeout", patience.byte)
    fs = kind(**options)
    try:
        fs.fs_args.setdefault("config_kwargs", {})["retries"] = {"total_max_attempts": 1}  # Patience tries again
        fs.fs.retries = 1
    except ConfigNotFound as error:  # also for an AWS_CONFIG_FILE that is no plain file, such as /dev/null
        raise ParamsError(f"AWS_CONFIG_FILE: {error}; set it to a file, or not at all") from None
    return fs


def _bare(url: str, do: Callable[[], Made]) -> Made:
    """Raise what S3 said, which DVC's file system hides below errors of files."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        return do()
    except (BotoCoreError, ClientError):
        raise
    except OSError as error:
        if isinstance(error.__cause__, BotoCoreError | ClientError):
            raise error.__cause__ from None
        raise
    except Exception as error:
        if type(error).__module__.startswith("aiohttp"):
            raise HTTPClientError(error=error) from None
        raise OutsideError(f"{url}: {type(error).__name__}: {error}") from error


def _written(info: dict[str, Any]) -> datetime:
    """Return when an object was written: S3 says it as a time, a folder in seconds."""
    when = info.get("LastModified") or info["mtime"]
    return when if isinstance(when, datetime) else datetime.fromtimestamp(when).astimezone()


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        path = Path(place) / "content"
        path.write_bytes(content)
        yield path
