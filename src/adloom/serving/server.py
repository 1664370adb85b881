"""`adloom serve`: one process in the foreground answers everything; the port is taken before a model is opened."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import uvicorn
from starlette.types import ASGIApp

from adloom import params
from adloom.errors import ArtifactError, BusyError, ParamsError
from adloom.io import outside
from adloom.io.outside import pseudonym_key
from adloom.params import MODELS
from adloom.serving import bundles, decide, sources
from adloom.serving.front import Meter
from adloom.serving.schemas import ENDPOINTS, GENERATE, READ, WRITE, Endpoint
from adloom.serving.segments import Keys
from adloom.serving.sources import Sources
from adloom.settings import Settings

GRACE = 5  # seconds that requests in progress get when the service is stopped


@dataclass(frozen=True)
class App:
    """What one service answers, and from which models."""

    endpoints: Mapping[str, Endpoint]
    models: Sequence[str]


APPS: Mapping[str, App] = {
    "all": App(ENDPOINTS, list(MODELS)),
    "decide": App(decide.OWN, ["audience"]),
    "creatives": App({path: ENDPOINTS[path] for path in (GENERATE, READ, WRITE)}, ["gan", "cnn", "lstm"]),
}


def serve(name: str, params_path: Path, models: Path | None, host: str, port: int) -> None:
    """
    Serve one of APPS from the registry's champions, or the artifacts in the folder `models`, until interrupted.

    Port 0 is a free one. Raises BusyError when the port is taken, ArtifactError when there is not one model to serve.
    """
    settings = Settings()
    keys = Keys(pseudonym_key(settings))
    asked = APPS[name].models
    find = _champions(params_path, asked, settings) if models is None else partial(sources.in_folder, models, asked)
    prepare_libraries()
    with taken(host, port) as listening:
        served = bundles.load(find(), settings.serve_threads)
        if not served.bundles:
            raise ArtifactError("no model to serve, see above; `adloom run` makes and registers them")
        run(application(name, served, keys), listening, "/v1/models")


def _champions(params_path: Path, models: Sequence[str], settings: Settings) -> Callable[[], Sources]:
    registry = outside.build(settings, params.load(params_path).project).registry
    return partial(sources.champions, registry, settings.home, models)


def prepare_libraries() -> None:
    """Let libraries be quiet; call it before they are imported."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")  # read when bentoml is imported
    os.environ.setdefault("OTEL_SDK_DISABLED", "true")  # its tracing costs half of the throughput
    logging.basicConfig(format="adloom: %(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries; the registry says once when they were in vain


def application(name: str, models: bundles.Models, keys: Keys) -> ASGIApp:
    """Return one of APPS; the decide app has no BentoML in it."""
    if name == "decide":
        return decide.alone(models, keys)
    from adloom.serving import creatives

    meter, endpoints = Meter(), APPS[name].endpoints
    return creatives.service(decide.bare(models, keys, meter, endpoints), meter, endpoints)


@contextlib.contextmanager
def taken(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on the port: requests wait until it is served. Raises BusyError when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except socket.gaierror as error:
            raise ParamsError(f"--host {host}: {error.strerror}; 127.0.0.1 serves this machine alone") from None
        except OSError as error:
            raise BusyError(f"{host}:{port}: {error.strerror}; stop what uses it or choose another --port") from None
        bound.listen()  # bound alone, another service could still take it
        yield bound


class _Server(uvicorn.Server):
    """uvicorn that says in one line when it is ready."""

    def __init__(self, config: uvicorn.Config, page: str) -> None:
        super().__init__(config)
        self._page = page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            click.echo(_ready(host, port, self._page))


def run(app: ASGIApp, bound: socket.socket, page: str) -> None:
    """Answer what comes to a socket until interrupted; `page` is what people are told to look at first."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        log_level="error",  # what is not HTTP at all is no news
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again after it has stopped
        _Server(config, page).run(sockets=[bound])


def _ready(host: str, port: int, page: str) -> str:
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"ready on {url}; try: curl {url}{page}"
