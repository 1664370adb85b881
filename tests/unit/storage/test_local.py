"""Folders as stores: listing, and that a pushed folder is complete or absent."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from adloom.errors import DataError
from adloom.storage.base import DANGLING, SourceFile
from adloom.storage.local import FolderObjectStore, FolderStore


def test_a_folder_lists_its_files_by_path_and_their_content_on_request(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    store = FolderStore()
    assert store.list(str(tmp_path)) == [SourceFile("a/z.csv", 7), SourceFile("b.csv", 5)]
    assert store.add_versions(str(tmp_path), [SourceFile("a/z.csv", 7), SourceFile("gone.csv", 9)]) == [
        SourceFile("a/z.csv", 7, f"sha256:{hashlib.sha256(b'a/z.csv').hexdigest()}")
    ]
    assert store.list(str(tmp_path / "b.csv")) == [SourceFile("b.csv", 5)]


def test_links_are_followed_loops_cut_and_dangling_links_listed(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for name in ("elsewhere/1.png", "pictures/hats/2.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    (folder / "shoes").symlink_to("../elsewhere")
    (folder / "hats/loop").symlink_to("..")
    (folder / "hats/lost.png").symlink_to("nowhere")
    (folder / "hats/self").symlink_to("self")
    assert FolderStore().list(str(folder)) == [
        SourceFile("hats/2.png", 1),
        SourceFile("hats/lost.png", DANGLING),
        SourceFile("hats/self", DANGLING),
        SourceFile("shoes/1.png", 1),
    ]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))).touch()
    with pytest.raises(DataError, match=r"caf\\xe9.csv': a file name that is not UTF-8; rename the file"):
        FolderStore().list(str(tmp_path))


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: an empty folder"):
        FolderStore().list(str(tmp_path / "empty"))
    for call in (lambda: FolderStore().list("gone"), lambda: FolderStore().fetch("gone", tmp_path)):
        with pytest.raises(DataError, match="gone: no such file or folder"):
            call()
    with pytest.raises(DataError, match="S3://b/a: no such file or folder; expected a path, or s3://bucket/prefix"):
        FolderStore().list("S3://b/a")


def test_a_pushed_folder_replaces_the_old_one(tmp_path: Path) -> None:
    new, target = tmp_path / "new", tmp_path / "target"
    for folder, name in ((new, "fresh"), (target, "stale")):
        folder.mkdir()
        (folder / name).write_text("x")
    FolderStore().push(new, str(target))
    assert [path.name for path in target.iterdir()] == ["fresh"]
    assert {path.name for path in tmp_path.iterdir()} == {"new", "target"}


def test_a_failed_push_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stale").write_text("x")
    with pytest.raises((OSError, shutil.Error)):
        FolderStore().push(tmp_path / "gone", str(target))
    assert [path.name for path in target.iterdir()] == ["stale"]


def test_a_file_that_blocks_a_push_is_reported_before_it(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("x")
    FolderStore().require(str(tmp_path / "new" / "folder"))
    with pytest.raises(DataError, match=r"models/gan: .*/models is a file"):
        FolderStore().require(str(tmp_path / "models" / "gan"))


def test_objects_are_files_below_one_folder(tmp_path: Path) -> None:
    store, source = FolderObjectStore(f"{tmp_path}/objects/"), tmp_path / "source"
    source.write_bytes(b"content")
    for name in ("a/1", "a/2", "b"):
        store.put(source, name)
    assert store.url == f"{tmp_path}/objects"
    assert {name: info.size for name, info in store.list("").items()} == {"a/1": 7, "a/2": 7, "b": 7}
    assert store.list("a/").keys() == {"a/1", "a/2"}
    assert store.list("b").keys() == {"b"}
    assert store.list("c") == {}
    assert store.get("a/1", tmp_path / "copy").read_bytes() == b"content"
    store.remove("a/1")
    store.remove("a/1")
    with pytest.raises(FileNotFoundError):
        store.get("a/1", tmp_path / "copy")


def test_a_failed_put_leaves_the_old_object_and_nothing_else(tmp_path: Path) -> None:
    store = FolderObjectStore(str(tmp_path / "objects"))
    (tmp_path / "source").write_bytes(b"old")
    store.put(tmp_path / "source", "name")
    with pytest.raises(FileNotFoundError):
        store.put(tmp_path / "gone", "name")
    assert {path.name: path.read_bytes() for path in (tmp_path / "objects").iterdir()} == {"name": b"old"}
