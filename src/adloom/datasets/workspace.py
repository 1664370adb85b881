"""The working folder of `adloom run`."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import yaml

from adloom.errors import AdloomError, ConfigError
from adloom.storage.locks import exclusive_lock

FIRST = "prepare"  # the stage before both groups
GROUPS = (  # in order, none with an input from the other group; both take about as long
    (
        *("train_cnn", "evaluate@cnn", "train_music", "evaluate@music"),
        *("segment", "evaluate@audience", "recommend", "evaluate@recommender"),
    ),
    ("train_gan", "train_lstm", "evaluate@lstm", "train_style", "evaluate@style"),
)


def require_pipeline(folder: Path) -> None:
    """Raise ConfigError when a folder has no dvc.yaml."""
    if not (folder / "dvc.yaml").is_file():
        raise ConfigError(f"{folder.absolute()}: no dvc.yaml; `adloom init DIR` writes one into a new folder")


def lock_workspace(home: Path, folder: Path) -> AbstractContextManager[None]:
    """Lock a folder. Raises LockedError when another run has the lock."""
    return exclusive_lock(
        home / "run.lock", f"{folder.absolute()}: another `adloom run` works here; wait for it or stop it"
    )


def initialise_dvc(folder: Path) -> None:
    """Initialise DVC in a folder, with or without git."""
    if not (folder / ".dvc").is_dir():
        _run_or_raise("init", "--no-scm", "--quiet", folder=folder)
    elif not any((path / ".git").exists() for path in (folder.absolute(), *folder.absolute().parents)):
        _run_or_raise("config", "--local", "core.no_scm", "true", folder=folder)


def commit_stages(folder: Path, *stages: str) -> None:
    """Record the files as outputs of these stages."""
    _run_or_raise("commit", "--force", "--quiet", *stages, folder=folder)


def run_stages(*options: str, folder: Path = Path(), **environment: str) -> bool:
    """
    Run the stages that are out of date with DVC, two groups of them side by side; return whether all ended well.

    A training leaves a core idle part of the time, so that two finish sooner than one after the other.
    """
    if run_dvc("status", "--quiet", folder=folder, **environment) == 0:
        return True
    known = _list_stages(folder)
    groups = [[stage for stage in group if stage in known] for group in GROUPS]
    if FIRST in known and all(groups):
        if run_dvc("repro", *options, FIRST, folder=folder, **environment) != 0:
            return False
        if not _run_groups(groups, options, folder, environment):
            return False
    return run_dvc("repro", *options, folder=folder, **environment) == 0


def _run_groups(
    groups: Sequence[Sequence[str]], options: Sequence[str], folder: Path, environment: dict[str, str]
) -> bool:
    """Run groups of stages side by side, each with its progress bar on its own line."""
    command = ["--wait-for-lock", "repro", *options, "--single-item"]  # otherwise both would lock the stages before
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_start_dvc([*command, *group], folder, environment | {"TQDM_POSITION": str(i)}))
            for i, group in enumerate(groups)
        ]
        return sum(process.wait() for process in processes) == 0


def _list_stages(folder: Path) -> set[str]:
    """Return the names of a pipeline's stages; none if dvc.yaml is broken, which DVC explains."""
    try:
        stages: dict[str, Any] = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        return {f"{name}@{key}" for name, stage in stages.items() for key in stage.get("foreach", ())} | stages.keys()
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return set()


def run_dvc(*arguments: str, folder: Path = Path(), **environment: str) -> int:
    """Run DVC with this interpreter and adloom; return the exit code."""
    with _start_dvc(arguments, folder, environment) as process:
        return process.wait()


def _start_dvc(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.Popen(command, cwd=folder, env=variables)  # noqa: S603


def _run_or_raise(*arguments: str, folder: Path) -> None:
    if run_dvc(*arguments, folder=folder) != 0:
        raise AdloomError(f"{folder.absolute()}: dvc {arguments[0]} failed; the lines above say why")
