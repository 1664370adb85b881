"""`adloom serve`: create an application from models and settings, and serve it."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from adloom import threads
from adloom.config import params
from adloom.config.brand import BRAND, BrandKit
from adloom.config.models import MODELS
from adloom.config.settings import Settings
from adloom.context import open_store, read_pseudonym_key
from adloom.deadline import start_call
from adloom.decision_log import log
from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.errors import ArtifactError, ConfigError
from adloom.library.location import has_library, open_library
from adloom.serving import app, request_context, telemetry, workers
from adloom.serving.api import auth
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.endpoints import ENDPOINTS, Endpoint
from adloom.serving.api.library_schemas import OUTCOMES
from adloom.serving.api.schemas import REFRESH
from adloom.serving.creatives.issuer import Issuer, create_memory_issuer, open_issuer
from adloom.serving.decide.service import MemoryLog
from adloom.serving.http_server import STOP_SECONDS, bind_socket, run
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import bundle_cache, loader, sources
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.challengers import CANARY_MODELS, add_challengers, challenger_key
from adloom.serving.models.experiment import add_experiment, hash_experiment
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import ModelRefresher, SharedChampions
from adloom.serving.models.registry_worker import START_TIMEOUT, ChampionQuery, RegistryWorker
from adloom.serving.models.remote_bundles import RemoteBundles, open_remote_bundles
from adloom.serving.models.trial import TrialProcess
from adloom.serving.segments import PseudonymKeys
from adloom.tracking.mlflow_server import describe_place

if TYPE_CHECKING:
    from adloom.ads.brand import Brand

CACHE_AFTER = 3.0  # seconds without an answer of the registry, after which the cached champions serve
FIRST_REFRESH_TIMEOUT = 60.0  # seconds after which a service that follows starts without its models, not ready
SWITCH_SECONDS = 0.0005  # for which a thread that runs Python may delay a decision
MODELS_PAGE = "/v1/models"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class App:
    """The endpoints and models of one service."""

    endpoints: Mapping[str, Endpoint]
    models: Sequence[str]


def _models_of(service: str) -> list[str]:
    return [name for name, spec in MODELS.items() if spec.app == service]


APPS: Mapping[str, App] = {
    "all": App(ENDPOINTS, list(MODELS)),
    "decide": App(app.DECIDE_ENDPOINTS, _models_of("decide")),
    "creatives": App(
        {path: each for path, each in ENDPOINTS.items() if path == REFRESH or path not in app.DECIDE_ENDPOINTS},
        _models_of("creatives"),
    ),
}


@dataclass(frozen=True)
class ServeOptions:
    """The options of `adloom serve`."""

    app: str
    params: Path
    models: Path | None = None  # a folder of artifacts; None: the registry's champions
    follow: bool = False
    pins: Mapping[str, int] = field(default_factory=dict)
    workers: int = 1

    def champion_query(self) -> ChampionQuery:
        """Return the champions to fetch. Raises ConfigError for an unknown pin."""
        names = list(APPS[self.app].models)
        if unknown := [model for model in self.pins if model not in names]:
            raise ConfigError(f"--pin {unknown[0]}: expected one of {', '.join(names)}")
        challengers = [model for model in CANARY_MODELS if model in names and model not in self.pins]
        is_canary = Settings().canary_share > 0
        return ChampionQuery(str(self.params), names, dict(self.pins), challengers if is_canary else [])

    def load_project(self) -> str:
        """Return the project's name."""
        if self.models is not None and not self.params.is_file():
            return "adloom"
        return params.load(self.params).project


def serve(options: ServeOptions, host: str, port: int) -> None:
    """
    Serve one of APPS until interrupted.

    Raises LockedError when the port is in use, ArtifactError without any model, ConfigError without tokens.
    """
    prepare_libraries()
    settings = Settings()
    if isinstance(auth.create_auth(settings), auth.NoAuth):
        logger.warning("ADLOOM_AUTH=off: anyone who reaches this port is allowed")
    read_pseudonym_key(settings)
    _open_issuer(options, settings)
    with bind_socket(host, port) as listening:
        if options.workers > 1:
            workers.run(partial(create_app, options), listening, options.workers, MODELS_PAGE)
        else:
            run(create_app(options), listening, MODELS_PAGE)


def create_app(options: ServeOptions, metrics_folder: Path | None = None) -> ASGIApp:
    """Return the application of one process. Raises ArtifactError without any model."""
    return _create_app_of(options.app, create_service(options, metrics_folder))


def create_service(options: ServeOptions, metrics_folder: Path | None = None) -> app.Service:
    """Return the service of one process, with its models. Raises ArtifactError without any model."""
    prepare_libraries()
    settings = Settings()
    if options.models:
        refresher, artifacts = None, sources.find_in_folder(options.models, APPS[options.app].models)
        models = loader.load(artifacts, settings.serve_threads)
    else:
        refresher = _start_refresher(options, settings)
        models = refresher.models
    if not models.loaded:
        _report_no_model(
            options, settings, is_final=refresher is None or not (options.app == "decide" or options.follow)
        )
    project = options.load_project()
    dependencies = app.ServiceDependencies(
        keys=PseudonymKeys(read_pseudonym_key(settings)),
        auth=auth.create_auth(settings, options.workers),
        issuer=_open_issuer(options, settings),
        log=log.open_log(settings, project) if DECIDE in APPS[options.app].endpoints else MemoryLog(),
        project=project,
        refresher=refresher,
        library=_follow_library(settings),
        outcomes=OutcomeCounter(log.find_log(settings), open_store(settings))
        if OUTCOMES in APPS[options.app].endpoints
        else None,
        brand=_load_brand(settings, project) if MAKE_ADS in APPS[options.app].endpoints else None,
        canary_share=settings.canary_share,
        metrics_folder=metrics_folder,
        tracing=telemetry.Tracing(telemetry.create_provider()) if settings.otlp_endpoint else None,
        after_stop=_exit_soon,
        ready_without_model=settings.serve_without_model == "ready",
    )
    return app.Service(models, dependencies, APPS[options.app].endpoints)


def _load_brand(settings: Settings, project: str) -> "Brand":
    """Return the brand of ADLOOM_BRAND or brand.yaml, else one of the project's name. Raises ConfigError."""
    from adloom.ads.brand import Brand, load_brand
    from adloom.ads.typefaces import find_default_typefaces

    path = settings.brand or BRAND
    if settings.brand is None and not path.is_file():
        return Brand(BrandKit(name=project), find_default_typefaces())
    return load_brand(path)


def _follow_library(settings: Settings) -> SharedLibrary:
    shared = SharedLibrary(partial(open_library, settings), partial(has_library, settings), settings.follow_seconds)
    shared.start()
    return shared


def _open_issuer(options: ServeOptions, settings: Settings) -> Issuer:
    """Return the issuer of the creatives, which decisions do not need."""
    return create_memory_issuer() if options.app == "decide" else open_issuer(settings)


def _report_no_model(options: ServeOptions, settings: Settings, *, is_final: bool) -> None:
    """Raise ArtifactError when the service cannot run without models, else log the next step."""
    if options.models:
        advice = "expected a folder per model, such as the `models` that `adloom run` writes"
        problem = f"no model to serve in {options.models.absolute()}, see above; {advice}"
    else:
        advice = (
            "`adloom run` makes and registers them; run both in one folder, or set MLFLOW_TRACKING_URI to one registry"
        )
        problem = f"no model to serve from {describe_place(settings.tracking_uri)}, see above; {advice}"
    if is_final:
        raise ArtifactError(problem)
    logger.warning(problem)


def _start_refresher(options: ServeOptions, settings: Settings) -> ModelRefresher:
    """Return a refresher with the registry's champions, or the cached ones when it is slow."""
    started, query, cache = time.monotonic(), options.champion_query(), bundle_cache.open_cache(settings)
    fetch = RegistryWorker(query)
    trials = TrialProcess(settings.serve_threads, settings.trial_seconds, settings.trial_mb)
    keys = {model: sources.champion_key(model, query.pins) for model in query.models}
    followed = [*keys.values(), *map(challenger_key, query.challengers)]
    follows_experiment = "policy" in query.models and "policy" not in query.pins

    def add_others(models: Models, before: Models) -> Models:
        if follows_experiment:
            models = add_experiment(models, before, cache, settings.serve_threads, trials)
        if query.challengers:
            models = add_challengers(models, before, cache, settings.serve_threads, trials)
        return models

    find_cached = partial(sources.find_in_cache, cache, query.models, query.pins)
    if remote := open_remote_bundles(settings, options.load_project()):
        remote.restore(cache, keys.values())
    refresher = ModelRefresher(
        fetch,
        settings.serve_threads,
        trial=trials,
        add_others=add_others,
        save_champion=lambda model, version, digest: _save_champion(
            cache, remote, keys[model], Champion(version, digest)
        ),
        shared=SharedChampions(
            find_cached,
            lambda: hash((cache.hash_champions(followed), hash_experiment(cache))),
            settings.home / "follower.lock",
        ),
        interval=settings.follow_seconds if options.follow else None,
        after_refresh=partial(_call_each, [trials.stop] if options.follow else [trials.stop, fetch.stop]),
        close_source=partial(_call_each, [fetch.close, trials.close]),
    )
    refresher.start(find_cached())
    if options.app != "decide":
        from adloom.serving.creatives import bento  # noqa: F401 - takes seconds, while the registry is queried
    if refresher.models.unknown:
        refresher.first_refresh.wait(FIRST_REFRESH_TIMEOUT if options.follow else None)
    else:
        fetch.started.wait(0 if options.follow else START_TIMEOUT)
        refresher.first_refresh.wait(max(started + CACHE_AFTER - time.monotonic(), 0))
    return refresher


def _save_champion(cache: BundleCache, remote: RemoteBundles | None, key: str, champion: Champion) -> None:
    cache.save_champion(key, champion)
    if remote:
        start_call(partial(remote.save, key, champion, cache.folder / champion.digest))


def _exit_soon() -> None:
    """Exit after STOP_SECONDS, even when a thread hangs."""
    timer = threading.Timer(STOP_SECONDS, os._exit, [128 + signal.SIGTERM])
    timer.daemon = True
    timer.start()


def _call_each(functions: Iterable[Callable[[], None]]) -> None:
    for function in functions:
        function()


def prepare_libraries() -> None:
    """Limit the libraries' threads and output, before their import."""
    sys.setswitchinterval(SWITCH_SECONDS)
    threads.limit_threads(Settings().serve_threads, blas=1)  # BLAS threads spin, and one request's products are small
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")  # read when bentoml is imported
    if Settings().otlp_endpoint is None:
        os.environ.setdefault("OTEL_SDK_DISABLED", "true")  # BentoML's tracing halves the throughput
    request_context.configure_logging()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # hides retries; the registry reports the last failure


def create_named_app(name: str, models: loader.Models, dependencies: app.ServiceDependencies) -> ASGIApp:
    """Return one of APPS."""
    return _create_app_of(name, app.Service(models, dependencies, APPS[name].endpoints))


def _create_app_of(name: str, service: app.Service) -> ASGIApp:
    if name == "decide":
        return app.with_middleware(service)
    from adloom.serving.creatives import bento

    return bento.create_bento_app(service)
