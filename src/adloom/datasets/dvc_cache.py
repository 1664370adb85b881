"""DVC's cache, and its hash of a folder."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adloom.datasets.dvc_config import read_config
from adloom.errors import AdloomError, DataError


@dataclass(frozen=True)
class DirectoryHash:
    """DVC's hash of a folder, and its files."""

    md5: str  # of the listing; ends in .dir
    size: int  # bytes of all files
    files: dict[str, str]  # MD5 of each file: one of its paths in the folder
    listing: bytes


class DvcCache:
    """DVC's cache of a folder."""

    def __init__(self, odb: Any) -> None:
        self.odb = odb

    def has(self, md5: str) -> bool:
        """Return whether an object exists. Deletes a damaged one."""
        path = Path(self.odb.oid_to_path(md5))
        if not path.is_file():
            return False
        if compute_md5(path) == md5.removesuffix(".dir"):
            return True
        path.unlink()
        return False

    @contextmanager
    def add(self, md5: str) -> Iterator[Path]:
        """Yield a path for a new object, which is stored after the block."""
        path = Path(self.odb.oid_to_path(md5))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="adloom-", dir=path.parent) as scratch:
            try:
                yield Path(scratch) / path.name
            except OSError as error:
                error.filename = error.filename or str(path)  # the error of a full disk names no file
                raise
            (Path(scratch) / path.name).replace(path)
        self.odb.protect(str(path))

    def has_directory(self, directory: DirectoryHash) -> bool:
        """Return whether all objects of a directory exist."""
        return all(self.odb.exists(md5) for md5 in (directory.md5, *directory.files))

    def list_directory(self, md5: str) -> list[str]:
        """Return the objects of a directory. Raises DataError when a path leads out of it."""
        return [entry.value for _, _, entry in self._load_tree(md5)]

    def check_out(self, md5: str, target: Path) -> None:
        """Write a directory as copies or links."""
        from dvc.fs import localfs
        from dvc_data.hashfile.checkout import LinkError, checkout

        target.mkdir(parents=True)
        try:
            checkout(str(target.absolute()), localfs, self._load_tree(md5), self.odb, force=True)
        except LinkError as error:
            reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
            raise AdloomError(f"{error.path}: cannot be written: {reason}") from None

    def _load_tree(self, md5: str) -> Any:
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        tree = Tree.load(self.odb, HashInfo("md5", md5))
        for parts, _, _ in tree:
            if {"", ".", ".."} & {*parts} or any("/" in part for part in parts):
                raise DataError(f"{md5}: {'/'.join(parts)}: a path that leads out of its folder")
        return tree


def open_cache(folder: Path) -> DvcCache:
    """Open the cache of a folder."""
    from dvc.fs import get_cloud_fs
    from dvc_data.hashfile.db import get_odb

    config = dict(read_config(folder)["cache"])
    url = config.pop("dir", None) or str((folder / ".dvc" / "cache").absolute())
    kind, options, path = get_cloud_fs(None, url=url, **{n: config[n] for n in ("type", "shared") if n in config})
    fs = kind(**options)
    return DvcCache(get_odb(fs, fs.join(path, "files", "md5"), hash_name="md5", **options))


def hash_folder(folder: Path) -> DirectoryHash:
    """Return DVC's hash of a folder."""
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import get_odb

    path = str(folder.resolve())
    _, meta, tree = build(get_odb(localfs, path, hash_name="md5"), path, localfs, "md5", dry_run=True)
    files = {entry.value: "/".join(parts) for parts, _, entry in tree}
    return DirectoryHash(tree.oid, meta.size, files, tree.as_bytes())


def compute_md5(path: Path) -> str:
    """Return the MD5 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
