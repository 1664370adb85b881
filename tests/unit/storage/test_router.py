"""Stores: what a path, a name of the catalogue and s3:// mean, and that a pushed folder is whole or absent."""

import hashlib
import shutil
from pathlib import Path

import pytest

from adloom.catalogue.entries import CDNOW
from adloom.config.settings import Settings
from adloom.errors import ConfigError, DataError
from adloom.storage import s3
from adloom.storage.base import SourceFile
from adloom.storage.router import FolderStore, Stores
from adloom.storage.s3 import Address


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(Settings(home=tmp_path / "home"))


def test_a_folder_lists_its_files_by_path_with_their_content(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.csv", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert FolderStore().list(str(tmp_path)) == [
        SourceFile("a/z.csv", 7, f"sha256:{hashlib.sha256(b'a/z.csv').hexdigest()}"),
        SourceFile("b.csv", 5, f"sha256:{hashlib.sha256(b'b.csv').hexdigest()}"),
    ]
    assert [file.path for file in FolderStore().list(str(tmp_path / "b.csv"))] == ["b.csv"]


def test_nothing_to_list_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: an empty folder"):
        FolderStore().list(str(tmp_path / "empty"))
    for do in (lambda: FolderStore().list("gone"), lambda: FolderStore().fetch("gone", tmp_path)):
        with pytest.raises(DataError, match="gone: no such file or folder"):
            do()


def test_a_pushed_folder_replaces_the_old_one(tmp_path: Path) -> None:
    new, target = tmp_path / "new", tmp_path / "target"
    for folder, name in ((new, "fresh"), (target, "stale")):
        folder.mkdir()
        (folder / name).write_text("x")
    FolderStore().push(new, str(target))
    assert [path.name for path in target.iterdir()] == ["fresh"]
    assert {path.name for path in tmp_path.iterdir()} == {"new", "target"}


def test_a_push_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stale").write_text("x")
    with pytest.raises((OSError, shutil.Error)):
        FolderStore().push(tmp_path / "gone", str(target))
    assert [path.name for path in target.iterdir()] == ["stale"]


def test_a_file_in_the_way_of_a_push_is_found_before_it(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("x")
    FolderStore().require(str(tmp_path / "new" / "folder"))
    with pytest.raises(DataError, match=r"models/gan: .*/models is a file, expected a folder"):
        FolderStore().require(str(tmp_path / "models" / "gan"))


def test_the_catalogue_is_listed_without_a_network_and_never_written(stores: Stores, tmp_path: Path) -> None:
    assert stores.list("cdnow") == list(CDNOW.files)
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError, match=r"cdnow: a name of the catalogue, which cannot be written"):
        stores.push(tmp_path, "cdnow")
    with pytest.raises(ConfigError, match=r"cdnow: a name of the catalogue, which cannot be written"):
        stores.require("cdnow")


def test_a_folder_of_an_entrys_name_is_reached_by_its_path(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "cdnow").write_text("mine")
    assert [file.bytes for file in stores.list(str(tmp_path / "cdnow"))] == [4]
    assert stores.fetch(str(tmp_path / "cdnow"), tmp_path) == tmp_path / "cdnow"


def test_s3_addresses() -> None:
    assert s3.address("s3://bucket/a/b/") == Address("bucket", "a/b")
    assert s3.address("s3://bucket").below("x") == "x"
    assert s3.address("s3://bucket/a").below("x") == "a/x"
    with pytest.raises(ConfigError, match=r"s3:///a: no bucket; expected s3://bucket/prefix"):
        s3.address("s3:///a")
