"""The decide app: decisions, segments, models, probes, metrics and OpenAPI."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from adloom import deadline
from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.errors import AdloomError
from adloom.serving import segments
from adloom.serving.api import openapi
from adloom.serving.api.admission import Admission
from adloom.serving.api.auth import CLOSED, NoAuth, TokenAuth
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.endpoints import ENDPOINTS, Endpoint
from adloom.serving.api.middleware import ApiMiddleware, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.api.recommend_schemas import RECOMMEND
from adloom.serving.api.schemas import REFRESH, SEGMENT, ModelList, Readiness
from adloom.serving.creatives.issuer import Issuer, create_memory_issuer
from adloom.serving.decide.endpoint import DecisionEndpoint, LifespanMiddleware, Tracing
from adloom.serving.decide.metrics import DecisionMetrics
from adloom.serving.decide.micro_batcher import MAX_QUEUE
from adloom.serving.decide.recommendations import RecommendationService
from adloom.serving.decide.service import Decider, Log, MemoryLog
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.metrics import MetricsExporter, RequestMetrics
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import ModelRefresher, RefreshResult

if TYPE_CHECKING:
    from adloom.ads.brand import Brand

DECIDE_ENDPOINTS = {path: ENDPOINTS[path] for path in (DECIDE, FEEDBACK, RECOMMEND, SEGMENT, REFRESH)}
HEARTBEAT = 1.0  # seconds between two measurements of the event loop's lag


@dataclass
class ServiceDependencies:
    """Everything a service needs besides models."""

    keys: segments.PseudonymKeys
    auth: TokenAuth | NoAuth = field(default_factory=NoAuth)
    issuer: Issuer = field(default_factory=create_memory_issuer)
    log: Log = field(default_factory=MemoryLog)
    project: str = "adloom"
    refresher: ModelRefresher | None = None  # None: the models never change
    library: SharedLibrary | None = None
    outcomes: OutcomeCounter | None = None  # of the decision log
    brand: "Brand | None" = None  # of ads; the decide app needs none
    canary_share: float = 0.0  # of the requests that the challengers of creatives' models answer
    metrics_folder: Path | None = None  # where several processes merge their metrics
    max_queue: int = MAX_QUEUE
    tracing: Tracing | None = None
    after_stop: Callable[[], object] = lambda: None  # called when only the process has to end
    ready_without_model: bool = False  # while the registry has not answered


class Service:
    """One process's models, endpoints and background tasks."""

    def __init__(self, models: Models, dependencies: ServiceDependencies, endpoints: Mapping[str, Endpoint]) -> None:
        self.models, self.dependencies, self.endpoints = models, dependencies, endpoints
        self.refused: Mapping[str, str] = {}
        self.auth = dependencies.auth
        metrics = RequestMetrics()
        self.admission = Admission(
            metrics, endpoints, authorize=lambda header, endpoint: self.auth.admit(header, endpoint.access)
        )
        self.decision_metrics = DecisionMetrics(
            metrics.registry,
            self._model_labels,
            dependencies.log.statistics,
            lambda: self.decider.statistics,
            lambda: self.auth.is_unreadable,
        )
        self.exporter = MetricsExporter(metrics.registry, dependencies.metrics_folder)
        self.decider = Decider(models, dependencies.keys, dependencies.log, dependencies.project, dependencies.library)
        self.recommendations = RecommendationService(dependencies.keys, dependencies.log, dependencies.project)
        self.openapi = orjson.dumps(openapi.document(endpoints))
        self._heartbeat: asyncio.Task[None] | None = None

    def wrap(self, app: ASGIApp) -> LifespanMiddleware:
        """Return an application behind the decision endpoint, with background tasks."""
        dependencies = self.dependencies
        if dependencies.tracing:
            app = dependencies.tracing.wrap(app)
        endpoint = DecisionEndpoint(
            app,
            self.decider,
            dependencies.log,
            self.admission,
            self.decision_metrics,
            dependencies.tracing,
            dependencies.max_queue,
        )
        return LifespanMiddleware(endpoint, self.admission, self.start, self.stop)

    async def start(self) -> None:
        """Start background tasks."""
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.create_task(self._measure_lag())
        self.auth.start()
        gc.collect()
        gc.freeze()  # later collections skip the loaded models
        if refresher := self.dependencies.refresher:
            refresher.subscribe(lambda result: loop.call_soon_threadsafe(self.publish, result))
        if library := self.dependencies.library:
            library.on_change = lambda: loop.call_soon_threadsafe(lambda: self.decider.publish(self.models))

    async def stop(self) -> None:
        """Close the log before anything else can hang."""
        refresher, library = self.dependencies.refresher, self.dependencies.library
        optional = [each.close for each in (refresher, library) if each]
        for close in (self.dependencies.log.close, *optional):
            await asyncio.wrap_future(deadline.start_call(close))  # all threads of the loop may be busy
        if self._heartbeat:
            self._heartbeat.cancel()
        self.auth.close()
        self.dependencies.after_stop()

    def publish(self, result: RefreshResult) -> None:
        """Serve the models of a refresh."""
        self.refused = result.refused
        self.decision_metrics.refused.update(result.newly_failed)
        self.decision_metrics.swaps.update(result.swapped)
        before = self.models
        if (result.models.loaded, result.models.experiment) != (before.loaded, before.experiment):
            self.decider.publish(result.models)
        self.models = result.models

    def list_models(self) -> ModelList:
        """Return the answer of /v1/models."""
        served = [loaded.served for loaded in self.models.loaded.values()]
        served += [
            loaded.served.model_copy(update={"role": "challenger"}) for loaded in self.models.challengers.values()
        ]
        return ModelList(models=served, absent=dict(self.models.absent), refused=dict(self.refused))

    def check_readiness(self) -> Readiness:
        """
        Return the models that serve, or raise Problem (503).

        Until the registry answers, random decisions here would dilute those of replicas that have a champion.
        """
        if self.auth.is_closed:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, CLOSED)
        models = self.models
        waits_for_registry = models.unknown and not self.dependencies.ready_without_model
        if waits_for_registry or (not models.loaded and DECIDE not in self.endpoints):  # decisions need no model
            reasons = "; ".join(f"{model}: {reason}" for model, reason in models.absent.items())
            state = "not every model is known" if models.loaded else "no model is served"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{state}: {reasons or 'none was found'}")
        sources = {model: loaded.source for model, loaded in models.loaded.items()}
        return Readiness(ready=True, models=list(models.loaded), sources=sources | dict.fromkeys(models.absent, "none"))

    def _model_labels(self) -> Iterator[tuple[str, str, str]]:
        for loaded in self.models.loaded.values():
            yield loaded.origin.name, str(loaded.origin.version or ""), loaded.origin.digest

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + HEARTBEAT
            await asyncio.sleep(HEARTBEAT)
            self.decision_metrics.loop_lag = max(loop.time() - due, 0.0)
            with contextlib.suppress(OSError):
                self.exporter.write()


def create_decide_app(models: Models, dependencies: ServiceDependencies) -> LifespanMiddleware:
    """Return the decide app."""
    return with_middleware(Service(models, dependencies, DECIDE_ENDPOINTS))


def with_middleware(service: Service) -> LifespanMiddleware:
    """Return a service's routes behind its middleware and decision endpoint."""
    return service.wrap(ApiMiddleware(create_routes(service), service.admission))


def create_routes(service: Service) -> Starlette:
    """Return the pages and the other endpoints."""
    routes = {RECOMMEND: _recommend, SEGMENT: _segment, REFRESH: _refresh}
    app = Starlette(
        routes=[
            *(Route(path, routes[path], methods=["POST"]) for path in routes if path in service.endpoints),
            Route("/v1/models", _models),
            Route("/livez", _live),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
            Route("/openapi.json", _openapi),
            Route("/docs.json", _openapi),  # BentoML's would know none of the endpoints
        ],
        exception_handlers={Problem: problem_response},
    )
    app.state.service = service
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def json_response(body: BaseModel) -> Response:
    """Serialize an answer."""
    return Response(body.model_dump_json(), media_type="application/json")


async def problem_response(request: Request, problem: Exception) -> Response:
    """Turn a Problem of a handler into the response."""
    assert isinstance(problem, Problem)
    return problem.response()


async def _segment(request: Request) -> Response:
    service = _service(request)
    return json_response(segments.segment(current_request.get(), service.models, service.dependencies.keys))


async def _recommend(request: Request) -> Response:
    service, arrival = _service(request), time.perf_counter()
    recommendations = service.recommendations
    answer = await asyncio.get_running_loop().run_in_executor(
        recommendations.pool, recommendations.answer, current_request.get(), arrival, service.models
    )
    seconds, tmax_ms = time.perf_counter() - arrival, current_request.get().tmax_ms
    service.decision_metrics.observe_recommendation(answer.tier, seconds, tmax_ms)
    return json_response(answer)


async def _refresh(request: Request) -> Response:
    service = _service(request)
    if service.dependencies.refresher is not None:  # None: the models are those of a folder
        try:
            await asyncio.to_thread(service.dependencies.refresher.refresh)
        except AdloomError as error:
            retry = {"Retry-After": "10"}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=retry) from None
    return json_response(service.list_models())


async def _models(request: Request) -> Response:
    return json_response(_service(request).list_models())


async def _live(request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _ready(request: Request) -> Response:
    return json_response(_service(request).check_readiness())


async def _metrics(request: Request) -> Response:
    return Response(_service(request).exporter.export(), media_type=CONTENT_TYPE_LATEST)


async def _openapi(request: Request) -> Response:
    return Response(_service(request).openapi, media_type="application/json")
