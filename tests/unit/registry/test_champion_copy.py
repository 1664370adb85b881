"""Copies of a champion: complete, repeated at no cost, and skipped without one."""

from pathlib import Path

import pytest

from adloom.config.base import ConfigModel
from adloom.errors import ArtifactError
from adloom.registry.base import CHAMPION
from adloom.registry.champion_copy import copy_version, find_champion_digest
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest


def register(registry: MemoryRegistry, folder: Path, content: str) -> str:
    """Register an audience with this content as champion; return its digest."""
    with manifest.draft(folder, "segment", ConfigModel(), {}) as draft:
        draft.write_json("card.json", content)
    digest = manifest.digest(folder)
    version = registry.register("audience", folder, {"manifest_digest": digest})
    registry.set_alias("audience", CHAMPION, version.version, "test")
    return digest


def test_the_champion_replaces_the_one_before(tmp_path: Path) -> None:
    registry, target = MemoryRegistry(tmp_path / "registry"), tmp_path / "models" / "audience.champion"
    for content in ("one", "two"):
        digest = register(registry, tmp_path / content, content)
        assert find_champion_digest(registry, "audience") == digest
        copy_version(registry, "audience", digest, target)
        assert manifest.is_complete(target, digest)
    assert [path.name for path in target.parent.iterdir()] == ["audience.champion"]


def test_a_copy_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    registry, target = MemoryRegistry(tmp_path / "registry"), tmp_path / "champion"
    copy_version(registry, "audience", digest := register(registry, tmp_path / "one", "one"), target)
    before = (target / "card.json").stat().st_mtime_ns
    copy_version(MemoryRegistry(tmp_path / "empty"), "audience", digest, target)
    assert (target / "card.json").stat().st_mtime_ns == before


def test_without_a_champion_the_copy_is_skipped(tmp_path: Path) -> None:
    registry = MemoryRegistry(tmp_path / "registry")
    assert find_champion_digest(registry, "audience") == ""
    copy_version(registry, "audience", "", tmp_path / "champion")
    assert manifest.skip_reason(tmp_path / "champion") == "audience: no champion yet"


def test_a_digest_that_is_not_registered_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^audience abcabcabcabc: not in the registry; `adloom models` lists"):
        copy_version(MemoryRegistry(tmp_path), "audience", "abc" * 21 + "a", tmp_path / "champion")
    assert not (tmp_path / "champion").exists()
