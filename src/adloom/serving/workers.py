"""Several worker processes on one port."""

import ctypes
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from adloom.errors import AdloomError
from adloom.serving.http_server import UVICORN_OPTIONS, ServerConfig, format_ready

START_TIMEOUT = 120.0  # seconds in which a worker must answer
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal to this process when its parent dies


class _Workers(Multiprocess):
    def __init__(self, config: ServerConfig, bound: socket.socket, ready: str) -> None:
        super().__init__(config, [bound])
        self._ready = ready

    def init_processes(self) -> None:
        """Start the workers and wait until they are ready."""
        super().init_processes()
        if all(process.wait_until_ready(START_TIMEOUT, self.should_exit) for process in self.processes):
            print(self._ready, flush=True)


def run(create: Callable[[Path], ASGIApp], bound: socket.socket, count: int, page: str) -> None:
    """Serve from so many processes until interrupted."""
    with tempfile.TemporaryDirectory(prefix="adloom-metrics-") as folder:
        factory = partial(_create_in_worker, create, Path(folder), os.getpid())
        config = ServerConfig(factory, factory=True, workers=count, **UVICORN_OPTIONS)
        _Workers(config, bound, format_ready(bound, page)).run()


def _create_in_worker(create: Callable[[Path], ASGIApp], folder: Path, parent: int) -> ASGIApp:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # a killed parent leaves no process on its port
    if os.getppid() != parent:  # it was killed before this call
        raise SystemExit(STARTUP_FAILURE)
    try:
        return create(folder)
    except AdloomError as error:
        print(f"adloom: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(STARTUP_FAILURE) from None
