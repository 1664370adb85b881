"""A running experiment reaches every process through the bundle cache, with all of its policies or not at all."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.support.experiments import experiment
from tests.support.tiny_models import write_policy

from adloom.errors import UserError
from adloom.experiments.definition import Action, ExperimentEvent, encode_event
from adloom.registry.base import CHAMPION
from adloom.registry.memory import MemoryRegistry
from adloom.serving.models.bundle_cache import BundleCache
from adloom.serving.models.experiment import add_experiment, fetch_experiment, hash_experiment
from adloom.serving.models.loader import Models, skip_trial
from adloom.serving.models.refresher import ModelRefresher
from adloom.serving.models.sources import Sources, find_champions

EXPERIMENT = experiment("champion=80,challenger=20")
NOTHING = Models({}, {})

Record = Callable[[Action], None]


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    """A registry with two policies, of which the first is champion."""
    registry = MemoryRegistry(tmp_path / "registry")
    for number in (1, 2):
        write_policy(tmp_path / f"policy-{number}", audience=None, floor=number / 100)
        registry.register("policy", tmp_path / f"policy-{number}", {})
    registry.set_alias("policy", CHAMPION, 1, "first")
    return registry


@pytest.fixture
def record(registry: MemoryRegistry) -> Record:
    """Return a function that records the start or end of the experiment."""

    def add(action: Action) -> None:
        event = ExperimentEvent(at=0, action=action, reason="", experiment=EXPERIMENT)
        registry.add_experiment_event(encode_event(event).decode())

    return add


@pytest.fixture
def refresher(tmp_path: Path, registry: MemoryRegistry) -> ModelRefresher:
    """A service's refresher, which is not started."""
    cache = BundleCache(tmp_path / "cache")

    def find() -> Sources:
        champions = find_champions(registry, cache, ["audience", "policy"])
        fetch_experiment(registry, cache)
        return champions

    add = partial(add_experiment, cache=cache, threads=1, trial=skip_trial)
    return ModelRefresher(find, 1, add_others=add)


def test_a_refresh_starts_and_ends_the_experiment(refresher: ModelRefresher, record: Record) -> None:
    assert refresher.refresh().models.experiment is None
    record("start")
    loaded = refresher.refresh().models.experiment
    assert loaded is not None
    assert loaded.experiment == EXPERIMENT
    assert [policy.origin.version for policy in loaded.policies.values()] == [1, 2]
    assert refresher.refresh().models.experiment == loaded
    record("stop")
    assert refresher.refresh().models.experiment is None


def test_the_arm_of_the_champion_shares_its_model(refresher: ModelRefresher, record: Record) -> None:
    record("start")
    models = refresher.refresh().models
    assert models.experiment is not None
    assert models.experiment.policies[1].model is models.loaded["policy"].model


def test_another_process_reads_the_experiment_from_the_cache(
    tmp_path: Path, refresher: ModelRefresher, record: Record
) -> None:
    cache = BundleCache(tmp_path / "cache")
    before = hash_experiment(cache)
    record("start")
    refresher.refresh()
    assert hash_experiment(cache) != before
    models = add_experiment(NOTHING, NOTHING, cache, 1, skip_trial)
    assert models.experiment is not None
    assert models.experiment.experiment == EXPERIMENT


def test_without_one_of_its_policies_no_arm_is_served(
    tmp_path: Path, registry: MemoryRegistry, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    record("start")
    cache = BundleCache(tmp_path / "cache")
    fetch_experiment(registry, cache)
    (cache.folder / registry.versions("policy")[1].digest / "policy.npz").write_bytes(b"damaged")
    assert add_experiment(NOTHING, NOTHING, cache, 1, skip_trial).experiment is None
    assert "experiment new-policy is not served: policy 2: " in caplog.text


def test_a_policy_of_another_audience_is_not_served(
    tmp_path: Path, registry: MemoryRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    write_policy(tmp_path / "policy-3", audience="a" * 64)
    registry.register("policy", tmp_path / "policy-3", {})
    event = ExperimentEvent(at=0, action="start", reason="", experiment=experiment("champion=50,v3=50"))
    registry.add_experiment_event(encode_event(event).decode())
    cache = BundleCache(tmp_path / "cache")
    fetch_experiment(registry, cache)
    assert add_experiment(NOTHING, NOTHING, cache, 1, skip_trial).experiment is None
    assert "policy 3: it was trained with another audience than the champion" in caplog.text


def test_a_policy_that_is_not_registered_leaves_the_experiment_before(tmp_path: Path) -> None:
    registry = MemoryRegistry(tmp_path / "empty")
    event = ExperimentEvent(at=0, action="start", reason="", experiment=EXPERIMENT)
    registry.add_experiment_event(encode_event(event).decode())
    with pytest.raises(UserError, match="policy 1 is not registered; stop the experiment"):
        fetch_experiment(registry, BundleCache(tmp_path / "cache"))


def test_a_damaged_definition_is_reported_and_not_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = BundleCache(tmp_path / "cache")
    (cache.folder / "champions").mkdir(parents=True)
    (cache.folder / "champions" / "experiment.json").write_text("{")
    assert add_experiment(NOTHING, NOTHING, cache, 1, skip_trial).experiment is None
    assert "the experiment is not served: " in caplog.text
