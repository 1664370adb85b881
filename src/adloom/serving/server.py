"""`adloom serve`: one process in the foreground answers everything; the port is taken before a model is opened."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import uvicorn
from starlette.types import ASGIApp

from adloom import threads
from adloom.config import params
from adloom.config.models import MODELS
from adloom.config.settings import Settings
from adloom.context import pseudonym_key
from adloom.decision_log import log
from adloom.errors import ArtifactError, ConfigError, LockedError
from adloom.serving import app, request_context, telemetry, workers
from adloom.serving.api import auth
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.schemas import ENDPOINTS, GENERATE, READ, REFRESH, WRITE, Endpoint
from adloom.serving.decide.fast_http_protocol import FastHttpProtocol
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models import bundle_cache, loader, sources
from adloom.serving.models.bundle_cache import Champion
from adloom.serving.models.refresher import ModelRefresher, Notes
from adloom.serving.models.registry_worker import STARTING, RegistryWorker, Wanted
from adloom.serving.models.trial import TrialProcess
from adloom.serving.segments import PseudonymKeys

logger = logging.getLogger(__name__)

CACHE_AFTER = 3.0  # seconds after which the cache serves, when the registry has not answered
FIRST_LOOK = 60.0  # seconds after which a service that follows starts without its models, not ready
GRACE = 5  # seconds that requests in progress get when the service is stopped
HOW: Mapping[str, Any] = {
    "loop": "uvloop",
    "http": FastHttpProtocol,
    "ws": "none",
    "proxy_headers": False,  # nobody here asks who the client is
    "lifespan": "on",
    "log_config": None,
    "log_level": "error",  # what is not HTTP at all is no news
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": GRACE,
}


@dataclass(frozen=True)
class App:
    """What one service answers, and from which models."""

    endpoints: Mapping[str, Endpoint]
    models: Sequence[str]


def _models_of(service: str) -> list[str]:
    return [name for name, spec in MODELS.items() if spec.app == service]


APPS: Mapping[str, App] = {
    "all": App(ENDPOINTS, list(MODELS)),
    "decide": App(app.OWN, _models_of("decide")),
    "creatives": App({path: ENDPOINTS[path] for path in (GENERATE, READ, WRITE, REFRESH)}, _models_of("creatives")),
}


@dataclass(frozen=True)
class ServeOptions:
    """How `adloom serve` was called."""

    app: str
    params: Path
    models: Path | None = None  # a folder of artifacts; None: the registry's champions
    follow: bool = False
    pins: Mapping[str, int] = field(default_factory=dict)
    workers: int = 1

    @property
    def wanted(self) -> Wanted:
        """The champions to fetch."""
        names = list(APPS[self.app].models)
        if unknown := [model for model in self.pins if model not in names]:
            raise ConfigError(f"--pin {unknown[0]}: expected one of {', '.join(names)}")
        return Wanted(str(self.params), names, dict(self.pins))

    @property
    def project(self) -> str:
        """The project's name; a folder may be served without params.yaml."""
        if self.models is not None and not self.params.is_file():
            return "adloom"
        return params.load(self.params).project


def serve(asked: ServeOptions, host: str, port: int) -> None:
    """
    Serve one of APPS from the registry's champions, or the artifacts in a folder, until interrupted.

    Port 0 is a free one. Raises LockedError when the port is taken, ArtifactError when there is not one model to serve,
    ConfigError when it is not said who may ask.
    """
    prepare_libraries()
    settings = Settings()
    if isinstance(auth.build(settings), auth.NoAuth):
        logger.warning("ADLOOM_AUTH=off: whoever reaches this port may ask")
    PseudonymKeys(pseudonym_key(settings))
    with bind_socket(host, port) as listening:
        if asked.workers > 1:
            workers.run(
                partial(create_app, asked), listening, asked.workers, dict(HOW), _ready(listening, "/v1/models")
            )
        else:
            run(create_app(asked), listening, "/v1/models")


def create_app(asked: ServeOptions, shared: Path | None = None) -> ASGIApp:
    """Return the application of one process, its models loaded. Raises ArtifactError when there is not one."""
    prepare_libraries()
    settings = Settings()
    follower = None if asked.models else _following(asked, settings)
    models = follower.models if follower else loader.load(_in_folder(asked), settings.serve_threads)
    if not models.bundles and (follower is None or (asked.app != "decide" and not asked.follow)):
        raise ArtifactError("no model to serve, see above; `adloom run` makes and registers them")
    project = asked.project
    around = app.ServiceDependencies(
        keys=PseudonymKeys(pseudonym_key(settings)),
        auth=auth.build(settings, asked.workers),
        log=log.open_log(settings, project) if DECIDE in APPS[asked.app].endpoints else MemoryLog(),
        project=project,
        follower=follower,
        shared=shared,
        tracing=telemetry.Tracing(telemetry.exporting()) if settings.otlp_endpoint else None,
        stopped=_end_soon,
        without_model=settings.serve_without_model == "ready",
    )
    return application(asked.app, models, around)


def _in_folder(asked: ServeOptions) -> sources.Sources:
    return sources.find_in_folder(asked.models or Path(), APPS[asked.app].models)


def _following(asked: ServeOptions, settings: Settings) -> ModelRefresher:
    """Return a follower that looks at the registry, after its first look or with what the bundle cache has."""
    began, wanted, cache = time.monotonic(), asked.wanted, bundle_cache.opened(settings)
    fetch = RegistryWorker(wanted)
    trials = TrialProcess(settings.serve_threads, settings.trial_seconds, settings.trial_mb)
    keys = {model: sources.key(model, wanted.pins) for model in wanted.models}
    remembered = partial(sources.find_in_cache, cache, wanted.models, wanted.pins)
    follower = ModelRefresher(
        fetch,
        settings.serve_threads,
        attempt=trials,
        note=lambda model, version, digest: cache.note(keys[model], Champion(version, digest)),
        notes=Notes(remembered, partial(cache.changed, keys.values()), settings.home / "follower.lock"),
        interval=settings.follow_seconds if asked.follow else None,
        rest=partial(_each, [trials.stop] if asked.follow else [trials.stop, fetch.stop]),
        close_source=partial(_each, [fetch.close, trials.close]),
    )
    follower.begin(remembered())
    if asked.app != "decide":
        from adloom.serving.creatives import bento  # noqa: F401 - takes seconds, in which the registry is asked
    if follower.models.away:  # not all that is wanted is known here
        follower.looked.wait(FIRST_LOOK if asked.follow else None)
    else:
        fetch.asking.wait(0 if asked.follow else STARTING)
        follower.looked.wait(max(began + CACHE_AFTER - time.monotonic(), 0))
    return follower


def _end_soon() -> None:
    """End this process in GRACE seconds, also when a thread hangs that it would wait for."""
    timer = threading.Timer(GRACE, os._exit, [128 + signal.SIGTERM])
    timer.daemon = True
    timer.start()


def _each(functions: Iterable[Callable[[], None]]) -> None:
    for function in functions:
        function()


def prepare_libraries() -> None:
    """Keep libraries quiet and to their threads; call it before they are imported."""
    threads.limit_threads(Settings().serve_threads, blas=1)  # its threads spin, and one request's products are small
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")  # read when bentoml is imported
    if Settings().otlp_endpoint is None:
        os.environ.setdefault("OTEL_SDK_DISABLED", "true")  # its tracing costs half of the throughput
    request_context.set_up()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries; the registry says once when they were in vain


def application(name: str, models: loader.Models, around: app.ServiceDependencies) -> ASGIApp:
    """Return one of APPS; the decide app has no BentoML in it."""
    if name == "decide":
        return app.create_decide_app(models, around)
    from adloom.serving.creatives import bento

    return bento.mounted(app.Service(models, around, APPS[name].endpoints))


@contextlib.contextmanager
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket; requests queue until it is served. Raises LockedError when the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except socket.gaierror as error:
            raise ConfigError(f"--host {host}: {error.strerror}; 127.0.0.1 serves this machine alone") from None
        except OSError as error:
            raise LockedError(f"{host}:{port}: {error.strerror}; stop what uses it or choose another --port") from None
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
            click.echo(_ready(sockets[0], self._page))


def run(app: ASGIApp, bound: socket.socket, page: str) -> None:
    """Answer what comes to a socket until interrupted; `page` is what people are told to look at first."""
    config = uvicorn.Config(app, **HOW)
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again after it has stopped
        _Server(config, page).run(sockets=[bound])


def _ready(bound: socket.socket, page: str) -> str:
    host, port = bound.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"ready on {url}; try: curl {url}{page}"
