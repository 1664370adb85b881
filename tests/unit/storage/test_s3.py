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
        keys = sorted(key for key in self.objects if key.startswith(prefix))
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
    store.remove("s3://bucket/a")
    assert client.objects == {}


@pytest.mark.parametrize("key", ["a/../../out", "a/b/../../../out"])
def test_a_key_that_leads_out_of_the_folder_is_refused(
    client: MemoryClient, store: S3Store, tmp_path: Path, key: str
) -> None:
    client.objects[key] = b"x"
    with pytest.raises(DataError, match="out of its folder"):
        store.fetch("s3://bucket/a", tmp_path / "fetched")
    assert not (tmp_path / "out").exists()


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
