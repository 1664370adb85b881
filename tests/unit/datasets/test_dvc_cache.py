"""DVC's cache: complete objects or none, and DVC's own hash of a folder."""

import hashlib
import json
from pathlib import Path

import pytest

from adloom.datasets.dvc_cache import DirectoryHash, DvcCache, compute_md5, hash_folder, open_cache
from adloom.errors import DataError


@pytest.fixture
def cache(tmp_path: Path) -> DvcCache:
    return open_cache(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "a").write_bytes(b"hello")
    (tmp_path / "folder" / "deep" / "b").write_bytes(b"")
    return tmp_path / "folder"


def add(cache: DvcCache, md5: str, content: bytes) -> None:
    with cache.add(md5) as path:
        path.write_bytes(content)


def test_the_hash_of_a_folder_is_the_md5_of_its_listing(folder: Path) -> None:
    directory = hash_folder(folder)
    hello, empty = "5d41402abc4b2a76b9719d911017c592", "d41d8cd98f00b204e9800998ecf8427e"
    assert (directory.files, directory.size) == ({hello: "a", empty: "deep/b"}, 5)
    assert json.loads(directory.listing) == [{"md5": hello, "relpath": "a"}, {"md5": empty, "relpath": "deep/b"}]
    assert directory.md5 == f"{hashlib.md5(directory.listing, usedforsecurity=False).hexdigest()}.dir"
    assert compute_md5(folder / "a") == hello


def test_a_directory_comes_back_as_it_was(cache: DvcCache, folder: Path, tmp_path: Path) -> None:
    directory = hash_folder(folder)
    assert not cache.has_directory(directory)
    for md5, path in directory.files.items():
        add(cache, md5, (folder / path).read_bytes())
    add(cache, directory.md5, directory.listing)
    assert cache.has_directory(directory)
    assert sorted(cache.list_directory(directory.md5)) == sorted(directory.files)
    cache.check_out(directory.md5, tmp_path / "copy")
    assert hash_folder(tmp_path / "copy") == directory


def test_a_damaged_or_failed_object_is_not_there(cache: DvcCache) -> None:
    md5 = "5d41402abc4b2a76b9719d911017c592"
    with pytest.raises(KeyboardInterrupt), cache.add(md5) as path:
        path.write_bytes(b"hel")
        raise KeyboardInterrupt
    assert not cache.has(md5)
    add(cache, md5, b"hello")
    assert cache.has(md5)
    stored = Path(cache.odb.oid_to_path(md5))
    stored.chmod(0o600)
    stored.write_bytes(b"jello")
    assert not cache.has(md5)
    assert not stored.exists()


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/out", "a//b"])
def test_a_listing_that_leads_out_of_its_folder_is_refused(cache: DvcCache, path: str) -> None:
    listing = json.dumps([{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": path}]).encode()
    directory = DirectoryHash(f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir", 0, {}, listing)
    add(cache, directory.md5, directory.listing)
    with pytest.raises(DataError, match="out of its folder"):
        cache.list_directory(directory.md5)
