"""The folder that `adloom run` works in: dvc.yaml beside params.yaml, DVC's own folder, and one run at a time."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from adloom.errors import AdloomError, ConfigError
from adloom.storage.locks import exclusive_lock


def require_pipeline(folder: Path) -> None:
    """Raise ConfigError when a folder has no dvc.yaml."""
    if not (folder / "dvc.yaml").is_file():
        raise ConfigError(f"{folder.absolute()}: no dvc.yaml; `adloom init DIR` writes one into a new folder")


def lock_workspace(home: Path, folder: Path) -> AbstractContextManager[None]:
    """Let nobody else change a folder, whose scratch is `home`. Raises LockedError when somebody does already."""
    return exclusive_lock(
        home / "run.lock", f"{folder.absolute()}: another `adloom run` works here; wait for it or stop it"
    )


def initialise_dvc(folder: Path) -> None:
    """Make a folder one of DVC's, if it is none; a folder that git does not keep works too."""
    if not (folder / ".dvc").is_dir():
        _must("init", "--no-scm", "--quiet", folder=folder)
    elif not any((place / ".git").exists() for place in (folder.absolute(), *folder.absolute().parents)):
        _must("config", "--local", "core.no_scm", "true", folder=folder)


def commit_stages(folder: Path, *stages: str) -> None:
    """Let DVC take what lies in the folder for what these stages made of it."""
    _must("commit", "--force", "--quiet", *stages, folder=folder)


def run_dvc(*arguments: str, folder: Path = Path(), **environment: str) -> int:
    """Run DVC beside this interpreter, so that its stages find the same adloom; return its exit code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, check=False).returncode  # noqa: S603


def _must(*arguments: str, folder: Path) -> None:
    if run_dvc(*arguments, folder=folder) != 0:
        raise AdloomError(f"{folder.absolute()}: dvc {arguments[0]} stopped; the lines above say why")
