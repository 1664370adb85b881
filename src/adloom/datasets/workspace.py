"""The working folder of `adloom run`."""

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


def run_dvc(*arguments: str, folder: Path = Path(), **environment: str) -> int:
    """Run DVC with this interpreter and adloom; return the exit code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, check=False).returncode  # noqa: S603


def _run_or_raise(*arguments: str, folder: Path) -> None:
    if run_dvc(*arguments, folder=folder) != 0:
        raise AdloomError(f"{folder.absolute()}: dvc {arguments[0]} failed; the lines above say why")
