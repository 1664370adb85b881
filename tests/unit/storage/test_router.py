"""The router: s3:// URIs, names and paths."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from adloom.storage.base import SourceFile
from adloom.storage.local import FolderObjectStore
from adloom.storage.router import StoreRouter, open_object_store
from adloom.storage.s3 import S3ObjectStore


class RecordingStore:
    """A store that records its calls."""

    def __init__(self, name: str) -> None:
        self.name, self.calls = name, list[tuple[str, str]]()

    def list(self, uri: str) -> list[SourceFile]:
        self.calls.append(("list", uri))
        return [SourceFile(self.name, 0, "")]

    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        self.calls.append(("add_versions", uri))
        return files

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        self.calls.append(("fetch", uri))
        return folder / self.name

    def read_start(self, uri: str, size: int) -> bytes:
        self.calls.append(("read_start", uri))
        return self.name.encode()[:size]

    def require(self, uri: str) -> None:
        self.calls.append(("require", uri))

    def push(self, folder: Path, uri: str) -> None:
        self.calls.append((f"push {folder}", uri))

    def remove(self, uri: str) -> None:
        self.calls.append(("remove", uri))


@pytest.mark.parametrize("uri", ["s3://bucket/a", "name"])
def test_every_method_goes_to_the_store_of_the_uri(uri: str, tmp_path: Path) -> None:
    s3, named = RecordingStore("s3"), RecordingStore("named")
    router, expected = StoreRouter(s3, {"name": named}), s3 if uri.startswith("s3://") else named
    assert router.list(uri) == [SourceFile(expected.name, 0, "")]
    assert router.add_versions(uri, [SourceFile("a", 0)]) == [SourceFile("a", 0)]
    assert router.fetch(uri, tmp_path) == tmp_path / expected.name
    assert router.read_start(uri, 2) == expected.name.encode()[:2]
    router.require(uri)
    router.push(Path("folder"), uri)
    router.remove(uri)
    assert expected.calls == [
        (call, uri) for call in ("list", "add_versions", "fetch", "read_start", "require", "push folder", "remove")
    ]
    assert (s3.calls, named.calls).count([]) == 1


def test_any_other_uri_is_a_path_even_if_it_ends_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("mine")
    router = StoreRouter(RecordingStore("s3"), {"name": RecordingStore("named")})
    assert [file.bytes for file in router.list(str(tmp_path / "name"))] == [4]
    assert router.fetch(str(tmp_path / "name"), tmp_path) == tmp_path / "name"


def test_object_stores_are_in_s3_or_a_folder(tmp_path: Path) -> None:
    assert isinstance(open_object_store("s3://bucket/a", None), S3ObjectStore)
    assert isinstance(open_object_store(str(tmp_path), None), FolderObjectStore)
