"""
The decide app: lean, for answers inside an ad system's deadline. It also has what every service has: the list of
models, probes, metrics, OpenAPI.

`Service.models` is all that is served; a request looks at it once, so that it may be replaced between two requests.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from adloom import deadline
from adloom.errors import AdloomError
from adloom.serving import segments
from adloom.serving.api import openapi
from adloom.serving.api.admission import Admission, Authorize
from adloom.serving.api.auth import CLOSED, NoAuth, TokenAuth
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.middleware import ApiMiddleware, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import ENDPOINTS, REFRESH, SEGMENT, Endpoint, ModelList, Readiness
from adloom.serving.decide.endpoint import DecisionEndpoint, LifespanMiddleware, MetricsSinks, Tracing
from adloom.serving.decide.micro_batcher import MAX_QUEUE
from adloom.serving.decide.service import Decider, Log, MemoryLog
from adloom.serving.metrics import DecisionMetrics, MetricsExporter, RequestMetrics
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import ModelRefresher, RefreshResult

OWN = {path: ENDPOINTS[path] for path in (DECIDE, FEEDBACK, SEGMENT, REFRESH)}
BEAT = 1.0  # seconds between two measurements of the event loop's lag


@dataclass
class ServiceDependencies:
    """What a service works with besides its models."""

    keys: segments.PseudonymKeys
    auth: TokenAuth | NoAuth = field(default_factory=NoAuth)
    log: Log = field(default_factory=MemoryLog)
    project: str = "adloom"
    follower: ModelRefresher | None = None  # None: the models stay as they are
    shared: Path | None = None  # folder in which several processes add up their metrics
    room: int = MAX_QUEUE  # in the line
    tracing: Tracing | None = None
    stopped: Callable[[], object] = lambda: None  # called when the service has stopped, and only its process has to end
    without_model: bool = False  # whether to be ready while nobody says which models there are


class Service:
    """One process's models and all that is around them."""

    def __init__(self, models: Models, around: ServiceDependencies, endpoints: Mapping[str, Endpoint]) -> None:
        self.models, self.around, self.endpoints = models, around, endpoints
        self.refused: Mapping[str, str] = {}
        meter = RequestMetrics()
        self.admission = Admission(meter, endpoints, authorize=_authorizer(around.auth))
        self.decisions = DecisionMetrics(
            meter.registry,
            self._origins,
            getattr(around.log, "statistics", lambda: None),
            lambda: around.auth.is_unreadable,
        )
        self.exposition = MetricsExporter(meter.registry, around.shared)
        self.decider = Decider(models, around.keys, around.log, around.project)
        self.openapi = orjson.dumps(openapi.document(endpoints))
        self._beating: asyncio.Task[None] | None = None

    def lane(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the paths of the lane in front, and with what starts and ends with it."""
        around, admission = self.around, self.admission
        if around.tracing:
            app = around.tracing.traced(app)
        lane = DecisionEndpoint(
            app, self.decider, around.log, admission, MetricsSinks(self.decisions, around.tracing), around.room
        )
        return LifespanMiddleware(lane, admission, self.start, self.stop)

    async def start(self) -> None:
        """Begin what goes on beside the requests."""
        loop = asyncio.get_running_loop()
        self._beating = loop.create_task(self._beat())
        self.around.auth.start()
        gc.collect()
        gc.freeze()  # what was loaded stays, and need not be looked through again and again
        if follower := self.around.follower:
            follower.subscribe(lambda look: loop.call_soon_threadsafe(self.publish, look))

    async def stop(self) -> None:
        """Close the log first: what was decided must not wait for anything else to end."""
        closings = [getattr(self.around.log, "close", None), getattr(self.around.follower, "close", None)]
        for close in filter(None, closings):
            await asyncio.wrap_future(deadline.start_call(close))  # the loop's own threads may all wait for something
        if self._beating:
            self._beating.cancel()
        self.around.auth.close()
        self.around.stopped()

    def publish(self, look: RefreshResult) -> None:
        """Serve what a look found."""
        self.refused = look.refused
        self.decisions.refused.update(look.newly)
        self.decisions.swaps.update(look.swapped)
        if look.models.bundles != self.models.bundles:
            self.decider.publish(look.models)
        self.models = look.models

    def listed(self) -> ModelList:
        """What /v1/models says."""
        served = [bundle.served for bundle in self.models.bundles.values()]
        return ModelList(models=served, absent=dict(self.models.absent), refused=dict(self.refused))

    def readiness(self) -> Readiness:
        """
        Return which models serve, and who said so. Raises Problem (503) when requests must not be sent here.

        No answer of the registry is not the same as no champion: other replicas may have one, and chance would dilute
        what they decide. So a service waits until it knows what there is, unless it is told to be ready without.
        """
        if self.around.auth.is_closed:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, CLOSED)
        models = self.models
        unknown = models.away and not self.around.without_model
        if unknown or (not models.bundles and DECIDE not in self.endpoints):  # which decides by chance without any
            reasons = "; ".join(f"{model}: {reason}" for model, reason in models.absent.items())
            which = "not every model is known" if models.bundles else "no model is served"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{which}: {reasons or 'none was found'}")
        sources = {model: bundle.source for model, bundle in models.bundles.items()}
        return Readiness(
            ready=True, models=list(models.bundles), sources=sources | dict.fromkeys(models.absent, "none")
        )

    def _origins(self) -> Iterator[tuple[str, str, str]]:
        for bundle in self.models.bundles.values():
            yield bundle.origin.name, str(bundle.origin.version or ""), bundle.origin.digest

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self.decisions.lag = max(loop.time() - due, 0.0)
            with contextlib.suppress(OSError):
                self.exposition.leave()


def create_decide_app(models: Models, around: ServiceDependencies) -> ASGIApp:
    """Return the app as a service of its own."""
    return with_middleware(Service(models, around, OWN))


def with_middleware(service: Service) -> ASGIApp:
    """Return a service of the app's own endpoints, behind its front and its lane."""
    return service.lane(ApiMiddleware(create_routes(service), service.admission))


def _authorizer(auth: TokenAuth | NoAuth) -> Authorize:
    """Return what says whether a request may be answered."""
    return lambda authorization, endpoint: auth.admit(authorization, endpoint.access)


def create_routes(service: Service) -> Starlette:
    """Return the pages and the app's endpoints that are not in the lane, without a front."""
    routes = {SEGMENT: _segment, REFRESH: _refresh}
    app = Starlette(
        routes=[
            *(Route(path, routes[path], methods=["POST"]) for path in routes if path in service.endpoints),
            Route("/v1/models", _models),
            Route("/livez", _live),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
            Route("/openapi.json", _openapi),
            Route("/docs.json", _openapi),  # where BentoML's page of endpoints looks
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
    """Turn what a handler raises into the answer."""
    assert isinstance(problem, Problem)
    return problem.response()


async def _segment(request: Request) -> Response:
    service = _service(request)
    return json_response(segments.segment(current_request.get(), service.models, service.around.keys))


async def _refresh(request: Request) -> Response:
    service = _service(request)
    if service.around.follower is None:
        return json_response(service.listed())  # pinned to what a folder held
    try:
        await asyncio.to_thread(service.around.follower.look)
    except AdloomError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "10"}) from None
    return json_response(service.listed())


async def _models(request: Request) -> Response:
    return json_response(_service(request).listed())


async def _live(request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _ready(request: Request) -> Response:
    return json_response(_service(request).readiness())


async def _metrics(request: Request) -> Response:
    return Response(_service(request).exposition.text(), media_type=CONTENT_TYPE_LATEST)


async def _openapi(request: Request) -> Response:
    return Response(_service(request).openapi, media_type="application/json")
