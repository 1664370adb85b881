"""Champions are fetched once, kept by digest, and still there when the registry is not."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adloom.errors import ExternalServiceError
from adloom.registry.base import CHAMPION, ModelVersion
from adloom.registry.memory import MemoryRegistry
from adloom.serving.models import sources
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.sources import ModelArtifact, RegistryTimeouts, UnavailableModel
from adloom.storage import manifest

SHORT = RegistryTimeouts(versions=0.2, files=0.2)


class Down(MemoryRegistry):
    """A registry that does not answer."""

    def versions(self, model: str) -> list[ModelVersion]:
        raise ExternalServiceError("registry: connection refused")


class Hanging(MemoryRegistry):
    """A registry that never ends to answer, or to hand out the files of one model."""

    def __init__(self, registry: MemoryRegistry, model: str | None = None) -> None:
        super().__init__(registry.folder, registry.known, registry.history)
        self.model, self.over = model, threading.Event()

    def versions(self, model: str) -> list[ModelVersion]:
        if self.model is None:
            self.over.wait()
        return super().versions(model)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        if self.model == version.model:
            self.over.wait()
        return super().fetch(version, folder)


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


@pytest.fixture
def registry(folder: Path, tmp_path: Path) -> MemoryRegistry:
    registry = MemoryRegistry(tmp_path / "registry")
    for model in ("gan", "cnn"):
        registry.register(model, folder / model, {})
    registry.set_alias("gan", CHAMPION, 1, "a test")
    return registry


def note(cache: BundleCache, found: ModelArtifact | UnavailableModel, model: str = "gan") -> None:
    assert isinstance(found, ModelArtifact)
    assert found.version is not None
    cache.save_champion(model, Champion(found.version, found.folder.name))


def reason(source: ModelArtifact | UnavailableModel) -> str:
    assert isinstance(source, UnavailableModel)
    return source.reason


def test_champions_are_found_in_the_cache_by_digest(registry: MemoryRegistry, folder: Path, cache: BundleCache) -> None:
    found = sources.find_champions(registry, cache)
    digest = manifest.digest(folder / "gan")
    assert found["gan"] == ModelArtifact(cache.folder / digest, 1, "registry")
    assert "has no champion" in reason(found["cnn"])
    assert found["lstm"] == found["cnn"]
    assert not any(
        isinstance(source, UnavailableModel) and source.is_unknown for source in found.values()
    )  # it answered
    assert {path.name for path in cache.folder.iterdir()} == {digest}


def test_what_is_there_is_not_fetched_again(registry: MemoryRegistry, cache: BundleCache) -> None:
    sources.find_champions(registry, cache)
    assert isinstance(sources.find_champions(Hanging(registry, "gan"), cache, timeouts=SHORT)["gan"], ModelArtifact)


def test_a_damaged_copy_is_fetched_again(registry: MemoryRegistry, cache: BundleCache) -> None:
    copy = sources.find_champions(registry, cache)["gan"]
    assert isinstance(copy, ModelArtifact)
    (copy.folder / "generator.onnx").write_bytes(b"damaged")
    sources.find_champions(registry, cache)
    manifest.verify(copy.folder)
    assert [path.name for path in cache.folder.iterdir()] == [copy.folder.name]


def test_a_registry_whose_files_are_not_what_it_promised(
    registry: MemoryRegistry, folder: Path, cache: BundleCache
) -> None:
    path = registry.folder / manifest.digest(folder / "gan") / "generator.onnx"
    path.write_bytes(b"changed in the store")
    found = sources.find_champions(registry, cache)["gan"]
    assert "its digest is not" in reason(found)
    assert not found.is_unknown  # type: ignore[union-attr]
    assert [path.name for path in cache.folder.iterdir()] == []


def test_a_registry_that_does_not_answer(
    registry: MemoryRegistry, cache: BundleCache, caplog: pytest.LogCaptureFixture
) -> None:
    before, unknown = (
        sources.find_champions(registry, cache)["gan"],
        UnavailableModel(sources.UNKNOWN, is_unknown=True),
    )
    assert isinstance(before, ModelArtifact)
    assert sources.find_champions(Down(registry.folder), cache)["cnn"] == unknown
    note(cache, before)
    after = sources.find_champions(Down(registry.folder), cache)
    assert after["gan"] == ModelArtifact(before.folder, 1, "cache")
    assert after["cnn"] == sources.NO_CHAMPION  # the cache knows all that there were
    assert after["policy"] == unknown
    assert "the registry does not answer" in caplog.text
    assert "connection refused" in caplog.text


@pytest.fixture
def hanging(registry: MemoryRegistry) -> Iterator[list[Hanging]]:
    """Registries that hang until the test is over."""
    made: list[Hanging] = []
    yield made
    for one in made:
        one.over.set()


def test_a_registry_that_hangs_is_waited_for_no_longer_than_allowed(
    registry: MemoryRegistry, cache: BundleCache, hanging: list[Hanging], caplog: pytest.LogCaptureFixture
) -> None:
    note(cache, sources.find_champions(registry, cache)["gan"])
    hanging.append(Hanging(registry))
    began = time.monotonic()
    found = sources.find_champions(hanging[0], cache, timeouts=SHORT)["gan"]
    assert time.monotonic() - began < 5
    assert isinstance(found, ModelArtifact)
    assert found.source == "cache"
    assert "the registry's answer: no whole answer within 0.2 s" in caplog.text


@pytest.mark.slow
def test_files_that_never_come_do_not_stop_those_of_other_models(
    registry: MemoryRegistry, cache: BundleCache, hanging: list[Hanging]
) -> None:
    registry.set_alias("cnn", CHAMPION, 1, "a test")
    hanging.append(Hanging(registry, "gan"))
    found = sources.find_champions(hanging[0], cache, timeouts=RegistryTimeouts(versions=10, files=1))
    assert found["gan"] == UnavailableModel(
        "version 1 cannot be fetched: the files of gan 1: no whole answer within 1 s", is_unknown=True
    )
    assert isinstance(found["cnn"], ModelArtifact)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"gan": 3}', '{"version": 1, "digest": "gone"}'])
def test_a_damaged_note_is_no_note(cache: BundleCache, note: str) -> None:
    (cache.folder / "champions").mkdir(parents=True)
    (cache.folder / "champions" / "gan.json").write_text(note)
    assert all(
        isinstance(source, UnavailableModel) for source in sources.find_champions(Down(cache.folder), cache).values()
    )


def test_a_new_champion_replaces_the_old_one(registry: MemoryRegistry, cache: BundleCache, tmp_path: Path) -> None:
    from tests.support.tiny_models import write_generator

    sources.find_champions(registry, cache)
    write_generator(tmp_path / "new", channels=3)
    registry.set_alias("gan", CHAMPION, registry.register("gan", tmp_path / "new", {}).version, "better")
    found = sources.find_champions(registry, cache)["gan"]
    assert found == ModelArtifact(cache.folder / manifest.digest(tmp_path / "new"), 2, "registry")
