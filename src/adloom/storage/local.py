"""Storage in folders of this machine."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from typing_extensions import override

from adloom.errors import DataError
from adloom.storage.base import DANGLING, ObjectInfo, ObjectStore, SourceFile, Store, describe_missing
from adloom.storage.manifest import sha256


class FolderStore(Store):
    """Files by path. Links are followed."""

    @override
    def list(self, uri: str) -> list[SourceFile]:
        root = Path(uri)
        if root.is_file():
            return [SourceFile(root.name, root.stat().st_size)]
        files = [_describe_file(path, root) for path in _iterate_files(root, ())]
        if not files:
            raise DataError(f"{uri}: an empty folder" if root.is_dir() else describe_missing(uri))
        return sorted(files, key=lambda file: file.path)

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        root = Path(uri).parent if Path(uri).is_file() else Path(uri)
        versioned = []
        for file in files:
            with suppress(FileNotFoundError):
                versioned.append(SourceFile(file.path, file.bytes, f"sha256:{sha256(root / file.path)}"))
        return versioned

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        del folder, paths
        if not Path(uri).exists():
            raise DataError(describe_missing(uri))
        return Path(uri)

    @override
    def require(self, uri: str) -> None:
        if blocked := next((path for path in (Path(uri), *Path(uri).parents) if path.is_file()), None):
            raise DataError(f"{uri}: {blocked} is a file, expected a folder")

    @override
    def push(self, folder: Path, uri: str) -> None:
        target = Path(uri)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    @override
    def remove(self, uri: str) -> None:
        shutil.rmtree(uri, ignore_errors=True)


class FolderObjectStore(ObjectStore):
    """Objects as files of a folder. An object gets its name when it is complete."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._root = Path(url)

    @override
    def list(self, prefix: str) -> dict[str, ObjectInfo]:
        start = self._root / prefix
        paths = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        return {
            path.relative_to(self._root).as_posix(): ObjectInfo(
                (status := path.stat()).st_size, datetime.fromtimestamp(status.st_mtime).astimezone()
            )
            for path in paths
        }

    @override
    def put(self, path: Path, name: str) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as copy:
            try:
                with path.open("rb") as stream:
                    shutil.copyfileobj(stream, copy)
                copy.flush()
                os.fsync(copy.fileno())
                Path(copy.name).rename(target)
            except BaseException:
                Path(copy.name).unlink(missing_ok=True)
                raise

    @override
    def get(self, name: str, path: Path) -> Path:
        return Path(shutil.copyfile(self._root / name, path))

    @override
    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


def _iterate_files(folder: Path, parents: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files and dangling links below a folder; a link back to one of its parents is cut."""
    resolved = folder.resolve()
    if resolved in parents or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _iterate_files(path, (*parents, resolved))
        elif path.is_file() or path.is_symlink():
            yield path


def _describe_file(path: Path, root: Path) -> SourceFile:
    name = path.relative_to(root).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{os.fsencode(path)!r}: a file name that is not UTF-8; rename the file") from None
    return SourceFile(name, path.stat().st_size if path.exists() else DANGLING)
