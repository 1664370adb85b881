"""S3 as a store, on a client in memory: which objects are listed, downloaded and deleted, and in which order."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adloom.config.base import ConfigModel
from adloom.errors import ConfigError, DataError
from adloom.storage import manifest, s3
from adloom.storage.base import ObjectInfo, SourceFile
from adloom.storage.s3 import S3ObjectStore, S3Store
from adloom.storage.s3_client import S3Client

BUCKET = dict[str, bytes]


class MemoryClient(S3Client):
    """Objects of every bucket in one dictionary, and the names of all writes."""

    def __init__(self, objects: BUCKET, writes: list[str]) -> None:
        super().__init__(None)
        self.objects, self.writes = objects, writes

    def list(self, bucket: str, prefix: str) -> dict[str, ObjectInfo]:
        keys = [key for key in self.objects if key.startswith(prefix)]  # in no order
        return {
            key: ObjectInfo(len(self.objects[key]), datetime.now(UTC), str(hash(self.objects[key]))) for key in keys
        }

    def first_key(self, bucket: str, prefix: str) -> str | None:
        return next(iter(self.list(bucket, prefix)), None)

    def put(self, path: Path, bucket: str, key: str, arguments: Mapping[str, str] | None = None) -> None:
        self.writes.append(f"put {key}")
        self.objects[key] = path.read_bytes()

    def get(self, bucket: str, key: str, path: Path, version: str = "") -> None:
        path.write_bytes(self.objects[key])

    def read(self, bucket: str, key: str) -> bytes:
        return self.objects[key]

    def remove(self, bucket: str, key: str) -> None:
        self.writes.append(f"remove {key}")
        self.objects.pop(key, None)


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient({}, [])


@pytest.fixture
def store(client: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setattr(s3, "S3Client", lambda *_: client)
    return S3Store(None, progress=False)


def artifact(folder: Path, *names: str) -> Path:
    with manifest.draft(folder, "toy", ConfigModel(), {}) as draft:
        for name in names:
            (draft.path / name).write_text(name)
    return folder


def test_a_uri_lists_what_is_below_it_or_else_the_object_at_it(client: MemoryClient, store: S3Store) -> None:
    client.objects |= {"a/1": b"x", "a/b/2": b"yy", "a/folder/": b"", "ab": b"zzz"}
    assert [(file.path, file.bytes) for file in store.list("s3://bucket/a")] == [("1", 1), ("b/2", 2)]
    assert [(file.path, file.bytes) for file in store.list("s3://bucket/ab")] == [("ab", 3)]
    assert len(store.list("s3://bucket")) == 3
    with pytest.raises(DataError, match="^s3://bucket/c: no object"):
        store.list("s3://bucket/c")


def test_an_old_artifact_is_replaced_manifest_first_and_last(
    client: MemoryClient, store: S3Store, tmp_path: Path
) -> None:
    store.push(artifact(tmp_path / "old", "1", "2"), "s3://bucket/a")
    client.objects["a/other"] = b"of another program"
    client.writes.clear()
    store.push(artifact(tmp_path / "new", "2", "3"), "s3://bucket/a")
    assert client.writes[0] == "remove a/manifest.json"
    assert sorted(client.writes[1:3]) == ["put a/2", "put a/3"]
    assert client.writes[3:] == ["remove a/1", "put a/manifest.json"]
    fetched = store.fetch("s3://bucket/a", tmp_path / "fetched")
    assert manifest.verify(fetched) == manifest.read(tmp_path / "new")
    assert not (fetched / "other").exists()
    assert [file.path for file in store.list("s3://bucket/a")] == ["2", "3", "manifest.json"]
    store.fetch("s3://bucket/a", tmp_path / "part", {"2"})
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["2"]
    store.remove("s3://bucket/a")
    assert client.objects == {}


def test_keys_that_a_disk_does_not_hold_get_files_of_their_own(
    client: MemoryClient, store: S3Store, tmp_path: Path
) -> None:
    names = ["2026/a.csv", "2026//a.csv", "../../a.csv", "b", "b/c", f"{'x' * 400}.csv", "d/" * 490 + "e.csv"]
    client.objects |= {f"a/{name}": name.encode() for name in names}
    fetched = store.fetch("s3://bucket/a", tmp_path / "fetched")
    files = {path.relative_to(fetched).as_posix(): path.read_text() for path in fetched.rglob("*") if path.is_file()}
    assert sorted(files.values()) == sorted(names)
    assert [file.path for file in store.list("s3://bucket/a")] == sorted(files)
    assert all(files[name] == name for name in ("2026/a.csv", "b/c", "d/" * 490 + "e.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["fetched"]


@pytest.mark.parametrize("name", ["part-0.csv", "orders.csv"])
def test_an_object_with_others_below_it_is_read_with_them(
    client: MemoryClient, store: S3Store, tmp_path: Path, name: str
) -> None:
    client.objects |= {"orders.csv": b"1", f"orders.csv/{name}": b"2"}
    fetched = store.fetch("s3://bucket/orders.csv", tmp_path)
    assert sorted(path.read_text() for path in fetched.iterdir()) == ["1", "2"]
    assert (fetched / name).read_text() == "2"


def test_markers_of_folders_are_no_files(client: MemoryClient, store: S3Store) -> None:
    client.objects |= {"a": b"", "a/": b"", "a/b": b"", "a/b/": b"", "a/b/1": b"x", "a/c": b"", "a/d/": b"content"}
    assert [file.bytes for file in store.list("s3://bucket/a")] == [1, 0, 7]
    client.objects = {"a/": b""}
    with pytest.raises(DataError, match="^s3://bucket/a/: no object"):
        store.list("s3://bucket/a/")


def test_a_whole_bucket_is_never_written(store: S3Store, tmp_path: Path) -> None:
    for refused in (store.require, store.remove):
        with pytest.raises(ConfigError, match="^s3://bucket: a whole bucket"):
            refused("s3://bucket")
    with pytest.raises(ConfigError, match="^s3://bucket/: a whole bucket"):
        store.push(tmp_path, "s3://bucket/")


def test_objects_are_named_below_their_url(client: MemoryClient, tmp_path: Path) -> None:
    objects, source = S3ObjectStore("s3://bucket/a/", client), tmp_path / "source"
    source.write_bytes(b"content")
    objects.put(source, "b/1")
    assert objects.url == "s3://bucket/a"
    assert client.objects == {"a/b/1": b"content"}
    assert objects.list("b").keys() == {"b/1"}
    assert objects.get("b/1", tmp_path / "copy").read_bytes() == b"content"
    objects.remove("b/1")
    assert objects.list("") == {}


def test_source_files_have_their_etag_as_version(client: MemoryClient, store: S3Store) -> None:
    client.objects["a"] = b"x"
    assert store.list("s3://bucket/a") == [SourceFile("a", 1, f"etag:{hash(b'x')}")]
