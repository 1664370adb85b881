"""`adloom run`: the whole way on this machine, from sources to registered models."""

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from adloom import snapshot
from adloom.errors import AdloomError, BusyError, ParamsError
from adloom.io.outside import Outside
from adloom.params import Params
from adloom.stages.register import Outcome, register_all


def run(params: Params, outside: Outside) -> list[Outcome]:
    """
    Note the sources, make whatever is out of date with DVC, register every model.

    Raises BusyError when another run works in this folder, AdloomError when a stage failed (it has said why).
    """
    if not Path("dvc.yaml").is_file():
        raise ParamsError(f"{Path.cwd()}: no dvc.yaml; `adloom init DIR` writes one into a new folder")
    outside.home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(outside.home / "run.lock", timeout=0):
            snapshot.save(snapshot.take(params, outside), snapshot.LOCK)
            _reproduce()
            return register_all(params.register, outside)
    except Timeout:
        raise BusyError(f"{Path.cwd()}: another `adloom run` works here; wait for it or stop it") from None


def _reproduce() -> None:
    """Run `dvc repro`; a folder that git does not keep works too."""
    if not Path(".dvc").is_dir():
        _dvc("init", "--no-scm", "--quiet")
    elif not any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        _dvc("config", "--local", "core.no_scm", "true")
    if _dvc("repro") != 0:
        raise AdloomError("dvc repro stopped; the lines above say why, and `adloom run` goes on from there")


def _dvc(*arguments: str) -> int:
    """Run DVC beside this interpreter, so that its stages find the same adloom."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False).returncode  # noqa: S603
