"""Champions are fetched once, kept by digest, and still there when the registry is not."""

import json
from pathlib import Path

import pytest

from adloom.errors import OutsideError
from adloom.io import manifest
from adloom.io.registry import CHAMPION, MemoryRegistry, Version
from adloom.serving import sources
from adloom.serving.sources import Absent, Found


class Down(MemoryRegistry):
    """A registry that does not answer."""

    def versions(self, model: str) -> list[Version]:
        raise OutsideError("registry: connection refused")


@pytest.fixture
def registry(folder: Path, tmp_path: Path) -> MemoryRegistry:
    registry = MemoryRegistry(tmp_path / "registry")
    for model in ("gan", "cnn"):
        registry.register(model, folder / model, {})
    registry.point("gan", CHAMPION, 1, "a test")
    return registry


def test_champions_are_found_in_the_cache_by_digest(registry: MemoryRegistry, folder: Path, tmp_path: Path) -> None:
    found = sources.champions(registry, tmp_path)
    digest = manifest.digest(folder / "gan")
    assert found["gan"] == Found(tmp_path / "bundles" / digest, 1)
    assert "has no champion" in reason(found["cnn"])
    assert "has no champion" in reason(found["lstm"])
    assert {path.name for path in (tmp_path / "bundles").iterdir()} == {digest, "champions.json"}


def test_what_is_there_is_not_fetched_again(registry: MemoryRegistry, folder: Path, tmp_path: Path) -> None:
    sources.champions(registry, tmp_path)
    stamp = tmp_path / "bundles" / manifest.digest(folder / "gan") / manifest.MANIFEST
    before = stamp.stat().st_mtime_ns
    sources.champions(registry, tmp_path)
    assert stamp.stat().st_mtime_ns == before


def test_a_damaged_copy_is_fetched_again(registry: MemoryRegistry, folder: Path, tmp_path: Path) -> None:
    copy = sources.champions(registry, tmp_path)["gan"]
    assert isinstance(copy, Found)
    (copy.folder / "generator.onnx").write_bytes(b"damaged")
    sources.champions(registry, tmp_path)
    manifest.verify(copy.folder)


def test_a_registry_whose_files_are_not_what_it_promised(
    registry: MemoryRegistry, folder: Path, tmp_path: Path
) -> None:
    path = registry.folder / manifest.digest(folder / "gan") / "generator.onnx"
    path.write_bytes(b"changed in the store")
    assert "which the registry promised" in reason(sources.champions(registry, tmp_path)["gan"])
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["champions.json"]


def test_a_registry_that_does_not_answer(
    registry: MemoryRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = sources.champions(registry, tmp_path)
    after = sources.champions(Down(tmp_path), tmp_path)
    assert after["gan"] == before["gan"]
    assert "no champion of it is known" in reason(after["cnn"])
    assert "the registry does not answer" in caplog.text
    assert "connection refused" in caplog.text


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"gan": 3}', json.dumps({"gan": {"version": 1, "digest": "gone"}})])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, memory: str) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "champions.json").write_text(memory)
    assert all(isinstance(source, Absent) for source in sources.champions(Down(tmp_path), tmp_path).values())


def test_a_new_champion_replaces_the_old_one(registry: MemoryRegistry, folder: Path, tmp_path: Path) -> None:
    from tests.tiny_models import write_generator

    sources.champions(registry, tmp_path)
    write_generator(tmp_path / "new", channels=3)
    registry.point("gan", CHAMPION, registry.register("gan", tmp_path / "new", {}).version, "better")
    found = sources.champions(registry, tmp_path)["gan"]
    assert found == Found(tmp_path / "bundles" / manifest.digest(tmp_path / "new"), 2)


def reason(source: Found | Absent) -> str:
    assert isinstance(source, Absent)
    return source.reason


def test_apps_apart_remember_each_its_own(registry: MemoryRegistry, tmp_path: Path) -> None:
    sources.champions(registry, tmp_path, ["gan"])
    sources.champions(registry, tmp_path, ["audience"])
    found = sources.champions(Down(tmp_path / "registry"), tmp_path, ["gan"])
    assert list(found) == ["gan"]
    assert isinstance(found["gan"], Found)
