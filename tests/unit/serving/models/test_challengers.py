"""Challengers of the creatives' models reach every process through the bundle cache."""

from functools import partial
from pathlib import Path

import pytest
from tests.support.tiny_models import write_reader

from adloom.registry.base import CHALLENGER, CHAMPION
from adloom.registry.memory import MemoryRegistry
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.challengers import CANARY_MODELS, add_challengers, challenger_key, fetch_challengers
from adloom.serving.models.loader import skip_trial
from adloom.serving.models.refresher import ModelRefresher
from adloom.serving.models.sources import Sources, find_champions


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    """A registry with two readers: the first is champion, the second challenger."""
    registry = MemoryRegistry(tmp_path / "registry")
    for number, tones in ((1, ()), (2, ("light", "dark"))):
        write_reader(tmp_path / f"cnn-{number}", tones)
        registry.register("cnn", tmp_path / f"cnn-{number}", {"verdict": "hold"})
    registry.set_alias("cnn", CHAMPION, 1, "first")
    registry.set_alias("cnn", CHALLENGER, 2, "registered")
    return registry


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


@pytest.fixture
def refresher(registry: MemoryRegistry, cache: BundleCache) -> ModelRefresher:
    """A service's refresher, which is not started."""

    def find() -> Sources:
        champions = find_champions(registry, cache, ["cnn"])
        fetch_challengers(registry, cache, CANARY_MODELS)
        return champions

    add = partial(add_challengers, cache=cache, threads=1, trial=skip_trial)
    return ModelRefresher(find, 1, add_others=add)


def served(refresher: ModelRefresher) -> tuple[int | None, list[int | None]]:
    models = refresher.refresh().models
    return models.cnn.origin.version, [loaded.origin.version for loaded in models.challengers.values()]


def test_the_challenger_serves_beside_the_champion_until_it_is_promoted(
    refresher: ModelRefresher, registry: MemoryRegistry
) -> None:
    assert served(refresher) == (1, [2])
    before = refresher.models.challengers["cnn"]
    assert refresher.refresh().models.challengers["cnn"] is before
    registry.set_alias("cnn", CHAMPION, 2, "better")
    assert served(refresher) == (2, [])


def test_a_rejected_version_never_serves(
    tmp_path: Path, refresher: ModelRefresher, registry: MemoryRegistry, cache: BundleCache
) -> None:
    assert served(refresher) == (1, [2])
    registry.register("cnn", tmp_path / "cnn-2", {"verdict": "reject"})
    assert served(refresher) == (1, [])
    assert cache.load_champion(challenger_key("cnn")) is None


def test_a_challenger_that_is_gone_is_left_out_and_the_champion_serves(
    registry: MemoryRegistry, cache: BundleCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.save_champion(challenger_key("cnn"), Champion(3, "0" * 64))
    add = partial(add_challengers, cache=cache, threads=1, trial=skip_trial)
    refresher = ModelRefresher(lambda: find_champions(registry, cache, ["cnn"]), 1, add_others=add)
    assert served(refresher) == (1, [])
    assert "cnn: challenger 3 is not served" in caplog.text
