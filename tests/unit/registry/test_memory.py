"""The registry in memory keeps the rules of the one in MLflow."""

from pathlib import Path

import pytest
from tests.support.tiny_models import write_generator

from adloom.errors import ArtifactError, ExternalServiceError, UserError
from adloom.registry.base import CHALLENGER, CHAMPION, fetch_champion, fetch_verified, find_alias, find_digest
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    """Return a registry with two versions of one model."""
    registry = MemoryRegistry(tmp_path / "registry")
    for channels in (1, 3):
        write_generator(tmp_path / str(channels), channels)
        registry.register("gan", tmp_path / str(channels), {"verdict": "hold"})
    return registry


def test_an_artifact_is_registered_once_and_its_tags_are_updated(registry: MemoryRegistry, tmp_path: Path) -> None:
    again = registry.register("gan", tmp_path / "1", {"verdict": "promote"})
    assert again.version == 1
    assert [version.tags["verdict"] for version in registry.versions("gan")] == ["promote", "hold"]
    assert find_digest(registry.versions("gan"), manifest.digest(tmp_path / "3")) == registry.versions("gan")[1]
    assert find_digest(registry.versions("gan"), "0" * 64) is None


def test_an_alias_names_one_version_and_every_event_is_kept(registry: MemoryRegistry) -> None:
    for version in (1, 2):
        assert registry.set_alias("gan", CHAMPION, version, f"release {version}") == version
    registry.set_alias("gan", CHALLENGER, 2, "registered")
    assert [version.aliases for version in registry.versions("gan")] == [(), (CHAMPION, CHALLENGER)]
    assert [event.reason for event in registry.alias_events("gan")] == ["release 1", "release 2", "registered"]
    with pytest.raises(ExternalServiceError, match="no version 9"):
        registry.set_alias("gan", CHAMPION, 9, "no such version")
    champion = find_alias(registry.versions("gan"), CHAMPION)
    assert champion
    assert champion.version == 2


def test_a_champion_is_fetched_and_checked(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gan: no champion"):
        fetch_champion(registry, "gan", tmp_path / "none")
    registry.set_alias("gan", CHAMPION, 2, "by hand")
    version, folder = fetch_champion(registry, "gan", tmp_path / "champion")
    assert manifest.digest(folder) == version.digest
    (registry.folder / version.digest / "generator.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=version.digest):
        fetch_verified(registry, version, tmp_path / "again")
