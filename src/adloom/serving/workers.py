"""Several processes that answer on one port; uvicorn starts them and starts those again that end."""

import ctypes
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from adloom.errors import AdloomError

STARTING = 120.0  # seconds in which a process must answer
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


class _Workers(Multiprocess):
    """uvicorn's processes, which say in one line when all of them are ready."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket, ready: str) -> None:
        super().__init__(config, [bound])
        self._ready = ready

    def init_processes(self) -> None:
        """Start them."""
        super().init_processes()
        if all(process.wait_until_ready(STARTING, self.should_exit) for process in self.processes):
            click.echo(self._ready)


def run(make: Callable[[Path], ASGIApp], bound: socket.socket, count: int, how: dict[str, object], ready: str) -> None:
    """Answer from so many processes, each with an application of its own making, until interrupted."""
    with tempfile.TemporaryDirectory(prefix="adloom-metrics-") as shared:
        factory = partial(_begin, make, Path(shared), os.getpid())
        config = uvicorn.Config(factory, factory=True, workers=count, **how)  # type: ignore[arg-type]
        _Workers(config, bound, ready).run()


def _begin(make: Callable[[Path], ASGIApp], shared: Path, parent: int) -> ASGIApp:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)  # a parent that is killed leaves nobody on its port
    if os.getppid() != parent:  # it was killed before that
        raise SystemExit(uvicorn.config.STARTUP_FAILURE)
    try:
        return make(shared)
    except AdloomError as error:
        click.echo(f"adloom: {' '.join(str(error).split())}", err=True)
        raise SystemExit(uvicorn.config.STARTUP_FAILURE) from None
