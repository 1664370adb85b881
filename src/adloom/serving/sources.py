"""Where bundles come from: a folder of artifacts, or the registry's champions through a cache by digest."""

import json
import logging
import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adloom.errors import AdloomError
from adloom.io import manifest
from adloom.io.registry import CHAMPION, Registry, Version, aliased, fetch_whole
from adloom.params import MODELS

MESSAGE = 300  # characters of another's error that are shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """An artifact to serve."""

    folder: Path
    version: int | None  # in the registry


@dataclass(frozen=True)
class Absent:
    """Why a model is not served."""

    reason: str


Sources = Mapping[str, Found | Absent]  # of each model that is to be served
Pins = Mapping[str, int]  # model: the version to serve, whoever is champion
NONE: Pins = {}


def in_folder(folder: Path, models: Iterable[str] = MODELS) -> Sources:
    """Find artifacts in a folder such as models/, one subfolder per model."""
    return {model: _in_subfolder(folder / model) for model in models}


def _in_subfolder(folder: Path) -> Found | Absent:
    return Found(folder, None) if (folder / manifest.MANIFEST).is_file() else Absent(f"{folder} is not there")


def champions(registry: Registry, home: Path, models: Iterable[str] = MODELS, pins: Pins = NONE) -> Sources:
    """
    Bring the registry's champions into `home`/bundles/<digest>; what is there already is not fetched again.

    When the registry does not answer, the champions it named last are served from there.
    """
    bundles = home / "bundles"
    bundles.mkdir(parents=True, exist_ok=True)
    try:
        versions = {model: _wanted(registry.versions(model), pins.get(model)) for model in models}
    except Exception as error:  # noqa: BLE001 - whatever the registry suffers from, serving goes on
        logger.warning("the registry does not answer, serving the champions it named last: %s", _line(error))
        return remembered(home, models, pins)
    found = {model: _champion(registry, bundles, version, pins.get(model)) for model, version in versions.items()}
    _remember(memory(home), {_key(model, pins): version for model, version in versions.items()})
    return found


def remembered(home: Path, models: Iterable[str] = MODELS, pins: Pins = NONE) -> Sources:
    """Find the champions that the registry named last."""
    return {model: _cached(home / "bundles", _key(model, pins), memory(home)) for model in models}


def memory(home: Path) -> Path:
    """Return the file that says which champions the registry named last; it is written after they were fetched."""
    return home / "bundles" / "champions.json"


def _key(model: str, pins: Pins) -> str:
    return f"{model}@{pins[model]}" if model in pins else model


def _wanted(versions: list[Version], pin: int | None) -> Version | None:
    return aliased(versions, CHAMPION) if pin is None else next((v for v in versions if v.version == pin), None)


def _champion(registry: Registry, bundles: Path, version: Version | None, pin: int | None) -> Found | Absent:
    if version is None and pin is not None:
        return Absent(f"version {pin} is not registered; `adloom models` lists those that are")
    if version is None:
        return Absent("it has no champion; `adloom run` makes one, `adloom promote` names one")
    try:
        return Found(_fetched(registry, version, bundles / version.digest), version.version)
    except Exception as error:  # noqa: BLE001 - one broken download must not stop the others
        return Absent(f"version {version.version} cannot be had: {_line(error)}")


def _fetched(registry: Registry, version: Version, target: Path) -> Path:
    if manifest.is_whole(target, version.digest):
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as beside:
        folder = fetch_whole(registry, version, Path(beside) / "artifact")
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


def _cached(bundles: Path, model: str, memory: Path) -> Found | Absent:
    try:
        last = _named_last(memory)[model]
        found = Found(bundles / str(last["digest"]), int(last["version"]))
    except (TypeError, KeyError, ValueError):
        return Absent("the registry does not answer, and no champion of it is known here")
    return found if found.folder.is_dir() else Absent("the registry does not answer, and no copy is here")


def _remember(memory: Path, versions: Mapping[str, Version | None]) -> None:
    beside = memory.with_suffix(f".{os.getpid()}")
    others = {model: last for model, last in _named_last(memory).items() if model not in versions}
    named = {model: {"version": v.version, "digest": v.digest} for model, v in versions.items() if v}
    beside.write_text(json.dumps(others | named, indent=1, sort_keys=True))
    beside.replace(memory)


def _named_last(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(error: Exception) -> str:
    text = str(error) if isinstance(error, AdloomError) else f"{type(error).__name__}: {error}"
    return textwrap.shorten(text, MESSAGE, placeholder=" …")
