"""
The running experiment, in the bundle cache.

The process that queries the registry writes it with the digests of its policies; every process of the machine reads it.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from adloom.errors import UserError
from adloom.experiments.definition import Experiment, find_running
from adloom.policy.scorer import Scorer
from adloom.registry.base import Registry, fetch_verified
from adloom.serving.models.bundle_cache import CHAMPIONS, BundleCache, replace_file
from adloom.serving.models.loader import LoadedExperiment, LoadedModel, Models, Trial, open_model
from adloom.serving.models.sources import ModelArtifact, UnavailableModel

POLICY = "policy"

logger = logging.getLogger(__name__)


class CachedExperiment(msgspec.Struct, frozen=True):
    """A running experiment, and the digests of its policies by version."""

    experiment: Experiment
    digests: Mapping[int, str]


def fetch_experiment(registry: Registry, cache: BundleCache) -> None:
    """Fetch the running experiment and its policies into the cache. Raises AdloomError."""
    running = find_running(registry.experiment_events())
    if running is None:
        _cache_file(cache).unlink(missing_ok=True)
        return
    versions = {version.version: version for version in registry.versions(POLICY)}
    if missing := [number for number in running.versions if number not in versions]:
        raise UserError(f"experiment {running.name}: policy {missing[0]} is not registered; stop the experiment")
    digests = {number: versions[number].digest for number in running.versions}
    for number, digest in digests.items():
        if not cache.find(digest):
            cache.add(digest, partial(fetch_verified, registry, versions[number]))
    content = msgspec.json.encode(CachedExperiment(running, digests))
    if content != _read(cache):
        replace_file(_cache_file(cache), content)


def hash_experiment(cache: BundleCache) -> int:
    """Return a hash of the cached experiment."""
    return hash(_read(cache))


def open_experiment(
    cache: BundleCache, models: Models, before: LoadedExperiment | None, threads: int, trial: Trial
) -> LoadedExperiment | None:
    """
    Open the policies of the cached experiment; None if there is none, or one of its policies cannot serve.

    Without all of its policies the champion serves alone, because a part of the arms would not be comparable.
    """
    content = _read(cache)
    if content is None:
        return None
    try:
        cached = msgspec.json.decode(content, type=CachedExperiment)
    except msgspec.MsgspecError as error:
        logger.error("the experiment is not served: %s: %s", _cache_file(cache), error)
        return None
    known = dict(before.policies) if before else {}
    if (champion := models.loaded.get(POLICY)) and champion.origin.version is not None:
        known.setdefault(champion.origin.version, champion)
    policies: dict[int, LoadedModel[Scorer]] = {}
    for number, digest in cached.digests.items():
        artifact = ModelArtifact(cache.folder / digest, number, "registry")
        opened = open_model(POLICY, artifact, known.get(number), threads, trial)
        reason = opened.reason if isinstance(opened, UnavailableModel) else _find_fault(opened, models)
        if reason or isinstance(opened, UnavailableModel):
            logger.error("experiment %s is not served: policy %d: %s", cached.experiment.name, number, reason)
            return None
        policies[number] = opened
    return LoadedExperiment(cached.experiment, policies)


def add_experiment(models: Models, before: Models, cache: BundleCache, threads: int, trial: Trial) -> Models:
    """Return models with the running experiment."""
    return replace(models, experiment=open_experiment(cache, models, before.experiment, threads, trial))


def _find_fault(policy: LoadedModel[Scorer], models: Models) -> str:
    audience = models.loaded.get("audience")
    if policy.card.audience in (None, audience.origin.digest if audience else None):
        return ""
    return "it was trained with another audience than the champion; train it again"


def _cache_file(cache: BundleCache) -> Path:
    return cache.folder / CHAMPIONS / "experiment.json"


def _read(cache: BundleCache) -> bytes | None:
    try:
        return _cache_file(cache).read_bytes()
    except OSError:
        return None
