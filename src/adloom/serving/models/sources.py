"""Find the artifacts to serve: in a folder, the registry or the bundle cache."""

import logging
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from adloom.config.models import MODELS
from adloom.deadline import TimedCall, call_within
from adloom.errors import AdloomError, ExternalServiceError
from adloom.registry.base import CHAMPION, ModelVersion, Registry, fetch_verified, find_alias
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.storage import manifest

MAX_ERROR = 300  # characters of an error that are shown
NO_ANSWER = "the registry does not answer"
UNKNOWN = "the registry has not answered, and its champion is not known here"
NOT_CACHED = "the registry has not answered, and its last champion is not in the bundle cache"

SourceName = Literal["folder", "registry", "cache"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelArtifact:
    """An artifact to serve."""

    folder: Path
    version: int | None  # in the registry
    source: SourceName = "folder"


@dataclass(frozen=True)
class UnavailableModel:
    """The reason why a model is not served."""

    reason: str
    is_unknown: bool = False  # the registry did not answer, so there may be a champion


NO_CHAMPION = UnavailableModel("the registry has not answered, and it had no champion before")

Sources = Mapping[str, ModelArtifact | UnavailableModel]  # by model
Pins = Mapping[str, int]  # model: the version to serve instead of the champion
NO_PINS: Pins = {}


@dataclass(frozen=True)
class RegistryTimeouts:
    """Seconds for the registry's answers, and for all files."""

    versions: float = 15.0
    files: float = 300.0


TIMEOUTS = RegistryTimeouts()


def find_in_folder(folder: Path, models: Iterable[str] = MODELS) -> Sources:
    """Find artifacts in a folder with a subfolder per model."""
    return {
        model: ModelArtifact(folder / model, None)
        if (folder / model / manifest.MANIFEST).is_file()
        else UnavailableModel(f"{folder / model} does not exist")
        for model in models
    }


def find_champions(
    registry: Registry,
    cache: BundleCache,
    models: Iterable[str] = MODELS,
    pins: Pins = NO_PINS,
    timeouts: RegistryTimeouts = TIMEOUTS,
) -> Sources:
    """Fetch the registry's champions into the cache; without an answer, find the last ones there."""
    names = list(models)
    try:
        answers = call_within(timeouts.versions, "the registry's answer", lambda: [registry.versions(m) for m in names])
    except Exception as error:  # noqa: BLE001 - serving goes on after any failure of the registry
        logger.warning("%s, serving the champions that served last: %s", NO_ANSWER, _shorten(error))
        return find_in_cache(cache, names, pins)
    fetches = {
        model: _start_fetch(registry, cache, versions, pins.get(model), timeouts.files)
        for model, versions in zip(names, answers, strict=True)
    }
    return {
        model: fetch if isinstance(fetch, UnavailableModel) else _finish_fetch(*fetch)
        for model, fetch in fetches.items()
    }


def find_in_cache(cache: BundleCache, models: Iterable[str] = MODELS, pins: Pins = NO_PINS) -> Sources:
    """
    Find the champions that served last.

    If the cache knows some, the other models had none. The policy stays unknown, because without one
    a service decides by chance.
    """
    champions = {model: cache.load_champion(champion_key(model, pins)) for model in models}
    unknown = UnavailableModel(UNKNOWN, is_unknown=True)
    absent = dict.fromkeys(champions, NO_CHAMPION if any(champions.values()) else unknown) | {"policy": unknown}
    return {model: _find_cached(cache, known) if known else absent[model] for model, known in champions.items()}


def champion_key(model: str, pins: Pins) -> str:
    """Return the cache's name for a model's champion or pinned version."""
    return f"{model}@{pins[model]}" if model in pins else model


def _start_fetch(
    registry: Registry, cache: BundleCache, versions: list[ModelVersion], pin: int | None, seconds: float
) -> UnavailableModel | tuple[ModelVersion, TimedCall[Path]]:
    if pin is None:
        version = find_alias(versions, CHAMPION)
        missing = "it has no champion; `adloom run` makes one, `adloom promote` names one"
    else:
        version = next((known for known in versions if known.version == pin), None)
        missing = f"version {pin} is not registered; `adloom models` lists those that are"
    if version is None:
        return UnavailableModel(missing)
    what = f"the files of {version.model} {version.version}"
    add = partial(cache.add, version.digest, lambda folder: fetch_verified(registry, version, folder))
    return version, TimedCall(seconds, what, lambda: cache.find(version.digest) or add())


def _finish_fetch(version: ModelVersion, call: TimedCall[Path]) -> ModelArtifact | UnavailableModel:
    try:
        return ModelArtifact(call.result(), version.version, "registry")
    except Exception as error:  # noqa: BLE001 - one failed download must not stop the others
        reason = f"version {version.version} cannot be fetched: {_shorten(error)}"
        return UnavailableModel(reason, isinstance(error, ExternalServiceError))


def _find_cached(cache: BundleCache, champion: Champion) -> ModelArtifact | UnavailableModel:
    if folder := cache.find(champion.digest):
        return ModelArtifact(folder, champion.version, "cache")
    return UnavailableModel(NOT_CACHED, is_unknown=True)


def _shorten(error: Exception) -> str:
    text = str(error) if isinstance(error, AdloomError) else f"{type(error).__name__}: {error}"
    return textwrap.shorten(text, MAX_ERROR, placeholder=" …")
