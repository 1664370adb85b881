"""The bundle cache: whole artifacts only, shared by many, bounded, and what served last."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.tiny_models import write_policy

from adloom.serving.models.bundle_cache import MIN_AGE, BundleCache, Champion
from adloom.storage import manifest


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four artifacts of about the same size."""
    folder = tmp_path_factory.mktemp("policies")
    for number in range(4):
        write_policy(folder / str(number), None, f"creative-{number}")
    return [folder / str(number) for number in range(4)]


def add(cache: BundleCache, artifact: Path) -> str:
    digest = manifest.digest(artifact)
    cache.add(digest, lambda folder: Path(shutil.copytree(artifact, folder)))
    return digest


def age(cache: BundleCache, digest: str, seconds: float) -> None:
    """Let an artifact's last use be so long ago."""
    when = time.time() - seconds
    os.utime(cache.folder / digest, (when, when))


def test_what_was_added_is_found_until_a_byte_changes(cache: BundleCache, policies: list[Path]) -> None:
    digest = manifest.digest(policies[0])
    assert cache.find(digest) is None
    add(cache, policies[0])
    assert cache.find(digest) == cache.folder / digest
    other = add(cache, policies[1])
    shutil.rmtree(cache.folder / other)
    shutil.copytree(policies[0], cache.folder / other)  # whole, and not what its name says
    assert cache.find(other) is None
    (cache.folder / digest / "policy.npz").write_bytes(b"changed")
    assert cache.find(digest) is None


def test_a_fetch_that_fails_leaves_nothing(cache: BundleCache) -> None:
    def fetch(folder: Path) -> Path:
        folder.mkdir()
        (folder / "half").write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        cache.add("a" * 64, fetch)
    assert list(cache.folder.iterdir()) == []


def test_many_add_the_same_at_once_and_each_finds_it_whole(cache: BundleCache, policies: list[Path]) -> None:
    def once(_: int) -> bool:
        return cache.find(add(cache, policies[0])) is not None

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(once, range(40)))
    assert [path.name for path in cache.folder.iterdir()] == [manifest.digest(policies[0])]


def test_the_artifacts_used_longest_ago_are_deleted_but_no_champion_and_nothing_in_use(
    tmp_path: Path, policies: list[Path]
) -> None:
    size = sum(file.bytes for file in manifest.read(policies[0]).files.values())
    cache = BundleCache(tmp_path / "cache", limit=size)
    champion, old, fresh = [add(cache, policy) for policy in policies[:3]]
    cache.save_champion("policy", Champion(1, champion))
    abandoned = cache.folder / ".fetching-by-a-pod-that-was-killed"
    abandoned.mkdir()
    age(cache, champion, 3 * MIN_AGE)
    age(cache, old, 2 * MIN_AGE)
    age(cache, abandoned.name, 2 * MIN_AGE)
    last = add(cache, policies[3])
    assert {path.name for path in cache.folder.iterdir()} == {champion, fresh, last, "champions"}


def test_the_last_note_counts_and_every_note_changes_the_number(cache: BundleCache) -> None:
    assert cache.load_champion("policy") is None
    numbers = [cache.hash_champions(["policy", "audience"])]
    for version in (1, 2):
        cache.save_champion("policy", Champion(version, "a" * 64))
        numbers.append(cache.hash_champions(["policy", "audience"]))
    cache.save_champion("policy@1", Champion(1, "a" * 64))  # another service's, which is pinned
    assert cache.load_champion("policy") == Champion(2, "a" * 64)
    assert len(set(numbers)) == 3
    assert cache.hash_champions(["policy", "audience"]) == numbers[-1]
