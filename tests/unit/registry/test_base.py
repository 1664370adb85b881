"""The protocol of registries, as the registries in memory and in MLflow keep it."""

from pathlib import Path

import pytest
from tests.support.tiny_models import write_generator

from adloom.errors import ArtifactError, ExternalServiceError, LockedError, UserError
from adloom.registry.base import (
    CHALLENGER,
    CHAMPION,
    Registry,
    fetch_champion,
    fetch_verified,
    find_alias,
    find_digest,
)
from adloom.registry.memory import MemoryRegistry
from adloom.registry.mlflow import MlflowRegistry
from adloom.storage import manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(params=["memory", "mlflow"])
def registry(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Registry:
    """Return a registry with two versions of one model."""
    registry: Registry = MemoryRegistry(tmp_path / "registry")
    if request.param == "mlflow":
        registry = MlflowRegistry(database, request.node.name.partition("[")[0])
    for channels in (1, 3):
        write_generator(tmp_path / str(channels), channels)
        registry.register("gan", tmp_path / str(channels), {"verdict": "hold"})
    return registry


def test_an_artifact_is_registered_once_and_its_tags_are_updated(registry: Registry, tmp_path: Path) -> None:
    again = registry.register("gan", tmp_path / "1", {"verdict": "promote"})
    assert again.version == 1
    assert [version.tags["verdict"] for version in registry.versions("gan")] == ["promote", "hold"]
    assert find_digest(registry.versions("gan"), manifest.digest(tmp_path / "3")) == registry.versions("gan")[1]
    assert find_digest(registry.versions("gan"), "0" * 64) is None


def test_an_alias_names_one_version_and_every_event_is_kept(registry: Registry) -> None:
    for version in (1, 2):
        assert registry.set_alias("gan", CHAMPION, version, f"release {version}") == version
    registry.set_alias("gan", CHALLENGER, 2, "registered")
    assert [set(version.aliases) for version in registry.versions("gan")] == [set(), {CHAMPION, CHALLENGER}]
    assert [event.reason for event in registry.alias_events("gan")] == ["release 1", "release 2", "registered"]
    with pytest.raises(ExternalServiceError, match="gan"):
        registry.set_alias("gan", CHAMPION, 9, "no such version")
    champion = find_alias(registry.versions("gan"), CHAMPION)
    assert champion
    assert champion.version == 2


def test_a_champion_is_fetched(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gan: no champion"):
        fetch_champion(registry, "gan", tmp_path / "none")
    registry.set_alias("gan", CHAMPION, 2, "by hand")
    version, folder = fetch_champion(registry, "gan", tmp_path / "champion")
    assert manifest.digest(folder) == version.digest


def test_a_changed_artifact_is_refused(tmp_path: Path) -> None:
    registry = MemoryRegistry(tmp_path / "registry")
    write_generator(tmp_path / "gan")
    version = registry.register("gan", tmp_path / "gan", {})
    (registry.folder / version.digest / "generator.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=f"gan 1: .*{version.digest}"):
        fetch_verified(registry, version, tmp_path / "fetched")


def test_an_unknown_model_has_no_versions(registry: Registry) -> None:
    assert registry.versions("unknown") == []


def test_the_starts_and_ends_of_experiments_are_kept_in_order(registry: Registry) -> None:
    assert registry.experiment_events() == []
    for event in ('{"action":"start"}', '{"action":"stop","reason":"für alle"}'):
        registry.add_experiment_event(event)
    assert registry.experiment_events() == ['{"action":"start"}', '{"action":"stop","reason":"für alle"}']
    assert registry.versions("policy") == []


def test_of_two_experiments_at_the_same_moment_one_is_refused(registry: Registry) -> None:
    registry.add_experiment_event("first", known=0)
    with pytest.raises(LockedError, match="another experiment was started or ended at the same moment"):
        registry.add_experiment_event("second", known=0)
    registry.add_experiment_event("end")
    registry.add_experiment_event("third", known=2)
    assert registry.experiment_events() == ["first", "end", "third"]
