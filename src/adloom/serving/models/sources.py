"""Where bundles come from: a folder of artifacts, or the registry's champions through the bundle cache."""

import logging
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adloom.config.models import MODELS
from adloom.deadline import TimedCall, call_within
from adloom.errors import AdloomError, ExternalServiceError
from adloom.registry.base import CHAMPION, ModelVersion, Registry, fetch_verified, find_alias
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.storage import manifest

MESSAGE = 300  # characters of another's error that are shown
AWAY = "the registry does not answer"
UNKNOWN = "the registry has not answered, and no champion of it is known here"

SourceName = Literal["folder", "registry", "cache"]  # who said that an artifact is to be served

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelArtifact:
    """An artifact to serve."""

    folder: Path
    version: int | None  # in the registry
    source: SourceName = "folder"


@dataclass(frozen=True)
class UnavailableModel:
    """Why a model is not served."""

    reason: str
    away: bool = False  # nobody answered: there may be a champion all the same


Sources = Mapping[str, ModelArtifact | UnavailableModel]  # of each model that is to be served
Pins = Mapping[str, int]  # model: the version to serve, whoever is champion
NONE: Pins = {}


@dataclass(frozen=True)
class Patience:
    """Seconds that the registry has for all of its answers, and then for all files."""

    answers: float = 15.0
    files: float = 300.0


PATIENCE = Patience()


def find_in_folder(folder: Path, models: Iterable[str] = MODELS) -> Sources:
    """Find artifacts in a folder such as models/, one subfolder per model."""
    return {model: _in_subfolder(folder / model) for model in models}


def _in_subfolder(folder: Path) -> ModelArtifact | UnavailableModel:
    return (
        ModelArtifact(folder, None)
        if (folder / manifest.MANIFEST).is_file()
        else UnavailableModel(f"{folder} is not there")
    )


def find_champions(
    registry: Registry,
    cache: BundleCache,
    models: Iterable[str] = MODELS,
    pins: Pins = NONE,
    patience: Patience = PATIENCE,
) -> Sources:
    """
    Bring the registry's champions into the cache; what is there already is not fetched again.

    When the registry does not answer, the champions that served last are found there.
    """
    asked = list(models)
    try:
        said = call_within(patience.answers, "the registry's answer", lambda: [registry.versions(m) for m in asked])
    except Exception as error:  # noqa: BLE001 - whatever the registry suffers from, serving goes on
        logger.warning("%s, serving the champions that served last: %s", AWAY, _line(error))
        return find_in_cache(cache, asked, pins)
    fetching = {
        model: _begin_fetch(registry, cache, _wanted(versions, pins.get(model)), pins.get(model), patience.files)
        for model, versions in zip(asked, said, strict=True)
    }
    return {
        model: found if isinstance(found, UnavailableModel) else _fetched(*found) for model, found in fetching.items()
    }


def find_in_cache(cache: BundleCache, models: Iterable[str] = MODELS, pins: Pins = NONE) -> Sources:
    """Find the champions that served last."""
    return {model: _cached(cache, cache.champion(key(model, pins))) for model in models}


def key(model: str, pins: Pins) -> str:
    """Return the name under which a model's champion, or its pinned version, is noted."""
    return f"{model}@{pins[model]}" if model in pins else model


def _wanted(versions: list[ModelVersion], pin: int | None) -> ModelVersion | None:
    return find_alias(versions, CHAMPION) if pin is None else next((v for v in versions if v.version == pin), None)


def _begin_fetch(
    registry: Registry, cache: BundleCache, version: ModelVersion | None, pin: int | None, seconds: float
) -> UnavailableModel | tuple[ModelVersion, TimedCall[Path]]:
    if version is None and pin is not None:
        return UnavailableModel(f"version {pin} is not registered; `adloom models` lists those that are")
    if version is None:
        return UnavailableModel("it has no champion; `adloom run` makes one, `adloom promote` names one")
    what = f"the files of {version.model} {version.version}"
    return version, TimedCall(seconds, what, lambda: _fetch(registry, cache, version))


def _fetch(registry: Registry, cache: BundleCache, version: ModelVersion) -> Path:
    here = cache.find(version.digest)
    return here or cache.add(version.digest, lambda folder: fetch_verified(registry, version, folder))


def _fetched(version: ModelVersion, call: TimedCall[Path]) -> ModelArtifact | UnavailableModel:
    try:
        return ModelArtifact(call.result(), version.version, "registry")
    except Exception as error:  # noqa: BLE001 - one broken download must not stop the others
        return UnavailableModel(
            f"version {version.version} cannot be had: {_line(error)}", isinstance(error, ExternalServiceError)
        )


def _cached(cache: BundleCache, champion: Champion | None) -> ModelArtifact | UnavailableModel:
    if champion is None:
        return UnavailableModel(UNKNOWN, away=True)
    if folder := cache.find(champion.digest):
        return ModelArtifact(folder, champion.version, "cache")
    return UnavailableModel("the registry has not answered, and no copy of its last champion is here", away=True)


def _line(error: Exception) -> str:
    text = str(error) if isinstance(error, AdloomError) else f"{type(error).__name__}: {error}"
    return textwrap.shorten(text, MESSAGE, placeholder=" …")
