"""
Run an adloom command whose stages and DVC are forked from it instead of started anew.

    python tests/support/preloaded.py COMMAND OPTION…

They share its imports, which take longer than most stages of a small shop.
"""

import importlib
import inspect
import os
import shlex
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adloom.tracking.mlflow_server import prepare_environment

MODULES = (
    *("adloom.stages.runner", "pytorch_lightning", "sklearn.cluster", "matplotlib.pyplot"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
)
MAINS = {"adloom": "adloom.cli.main", "dvc": "dvc.cli"}
OPTIONS = [*inspect.signature(subprocess.Popen._execute_child).parameters][1:]  # type: ignore[attr-defined]
PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def find_program(command: Any) -> list[str]:
    """Return the program and arguments of a command of `adloom` or DVC, none of another."""
    words = [os.fspath(word) for word in ([command] if isinstance(command, (str, os.PathLike)) else command)]
    if words[-2:-1] == ["-c"]:  # of a shell
        words = shlex.split(words[-1])
    elif words[:2] == [sys.executable, "-m"]:
        words = words[2:]
    name = Path(words[0]).name
    return [name, *words[1:]] if name in MAINS else []


def run(program: str, arguments: Sequence[str]) -> None:
    """Run a program in this interpreter, and end the process."""
    sys.argv = [program, *arguments]
    try:
        code = importlib.import_module(MAINS[program]).main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def become_child(streams: Sequence[int], folder: Any, environment: Mapping[str, str] | None, new_session: bool) -> None:
    """Give a fork what a new process has: its streams, folder, variables and signals."""
    if new_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream, given in enumerate(streams):
        if given != -1:
            os.dup2(given, stream)
    if folder is not None:
        os.chdir(folder)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)


class ForkingPopen(subprocess.Popen[Any]):
    """Forks this process when the command is that of `adloom` or DVC. No public method starts Popen's process."""

    def _execute_child(self, *given: Any) -> None:
        option = dict(zip(OPTIONS, given, strict=True))
        program = find_program(option["args"])
        if not program:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            streams = [option[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            become_child(streams, option["cwd"], option["env"], option["start_new_session"])
            run(program[0], program[1:])
        self._child_created = True
        self._close_pipe_fds(*(option[name] for name in PIPES))  # type: ignore[attr-defined]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    prepare_environment()
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    for module in MODULES:
        importlib.import_module(module)
    run("adloom", sys.argv[1:])
