"""
The challengers of the creatives' models, in the bundle cache.

The process that queries the registry writes their digests; every process of the machine opens them.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from adloom.registry.base import CHALLENGER, CHAMPION, ModelVersion, Registry, fetch_verified, find_alias
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.loader import LoadedModel, Models, Trial, open_model
from adloom.serving.models.sources import ModelArtifact, UnavailableModel

CANARY_MODELS = ("gan", "lstm", "cnn")  # models of which a share of the requests goes to the challenger

logger = logging.getLogger(__name__)


def challenger_key(model: str) -> str:
    """Return the cache's name for a model's challenger."""
    return f"{model}@{CHALLENGER}"


def fetch_challengers(registry: Registry, cache: BundleCache, models: Iterable[str]) -> None:
    """Fetch challengers that the gate has not rejected into the cache, and forget others. Raises AdloomError."""
    for model in models:
        version = _find_challenger(registry.versions(model))
        if version is None:
            cache.forget_champion(challenger_key(model))
            continue
        if not cache.find(version.digest):
            cache.add(version.digest, partial(fetch_verified, registry, version))
        cache.save_champion(challenger_key(model), Champion(version.version, version.digest))


def add_challengers(models: Models, before: Models, cache: BundleCache, threads: int, trial: Trial) -> Models:
    """Return models with the cached challengers; one that cannot serve is logged and left out."""
    opened = {model: _open(model, before, cache, threads, trial) for model in CANARY_MODELS if model in models.loaded}
    return replace(models, challengers={model: loaded for model, loaded in opened.items() if loaded})


def _find_challenger(versions: list[ModelVersion]) -> ModelVersion | None:
    """Return the challenger unless it is the champion or the gate rejected it."""
    version = find_alias(versions, CHALLENGER)
    is_candidate = version and CHAMPION not in version.aliases and version.tags.get("verdict") != "reject"
    return version if is_candidate else None


def _open(model: str, before: Models, cache: BundleCache, threads: int, trial: Trial) -> LoadedModel[Any] | None:
    known = cache.load_champion(challenger_key(model))
    if known is None:
        return None
    artifact = ModelArtifact(cache.folder / known.digest, known.version, "registry")
    opened = open_model(model, artifact, before.challengers.get(model), threads, trial)
    if not isinstance(opened, UnavailableModel):
        return opened
    logger.error("%s: challenger %d is not served: %s", model, known.version, opened.reason)
    return None
