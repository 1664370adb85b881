"""The privacy budget of a model's versions, by hand."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from adloom.config.sources import Source
from adloom.registry.base import ModelVersion
from adloom.registry.memory import MemoryRegistry
from adloom.registry.privacy_budget import EPSILON_TAG, find_overrun, register_release
from adloom.storage import manifest

VERSIONS = [
    ModelVersion("audience", 1, {"manifest_digest": "a", EPSILON_TAG: "0.5"}),
    ModelVersion("audience", 2, {"manifest_digest": "b"}),  # without noise
    ModelVersion("audience", 3, {"manifest_digest": "c", EPSILON_TAG: "1.5"}),
]


@pytest.mark.parametrize(("digest", "epsilon", "is_over"), [("d", 1.0, False), ("d", 1.1, True), ("a", 9.0, False)])
def test_all_versions_share_the_budget_and_a_known_release_is_free(digest: str, epsilon: float, is_over: bool) -> None:
    assert (find_overrun(VERSIONS, digest, epsilon, budget=3.0) is not None) == is_over


def test_the_reason_names_what_was_spent() -> None:
    reason = find_overrun(VERSIONS, "d", 2.0, budget=3.0)
    assert reason
    assert reason.startswith("privacy: epsilon 2 and the 2 of versions 1, 3 are above segment.privacy.budget 3; ")
    assert find_overrun([], "d", 2.0, budget=1.0)


def write_release(folder: Path) -> Path:
    """Write an artifact of its own content."""
    with manifest.draft(folder, "segment", Source(uri=folder.name), {}):
        pass
    return folder


def test_of_two_releases_at_the_same_time_the_budget_is_spent_once(tmp_path: Path) -> None:
    """Both fit the budget when they begin; each sees the other's version after its own."""
    registry, tags = MemoryRegistry(tmp_path / "registry"), {EPSILON_TAG: "1"}
    barrier = Barrier(2, timeout=20)

    class Racing(MemoryRegistry):
        def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
            barrier.wait()
            return super().register(model, folder, tags)

    racing = Racing(registry.folder)
    releases = [write_release(tmp_path / name) for name in ("a", "b")]
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda folder: register_release(racing, "audience", folder, tags, 1.5), releases))
    assert sorted(overrun is None for _, overrun in both) == [False, True]
    (kept,) = racing.versions("audience")
    assert kept.version == 1
    _, overrun = register_release(registry, "audience", releases[0], tags, 0.5)
    assert overrun
    assert registry.versions("audience") == []
