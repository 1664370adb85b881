"""
The creatives service: BentoML hosts the models that draw, write and read; `adloom serve` adds the decide app.

ApiMiddleware answers every path of ours before BentoML sees it, so one set of rules holds for all.
"""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import bentoml
from anyio import CapacityLimiter, to_thread
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adloom.errors import UnavailableError
from adloom.serving.api.middleware import ApiMiddleware, current_actor, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.app import Service, create_routes, json_response, problem_response
from adloom.serving.creatives import studio
from adloom.serving.creatives.answers import ANSWERS, BATCHED_ANSWERS, QUERIES, Answer
from adloom.serving.creatives.batched_answers import BatchedAnswer, answer_batch
from adloom.serving.creatives.canary import Canary, CanaryMetrics
from adloom.serving.creatives.request_batcher import RequestBatcher
from adloom.serving.metrics import BatchMetrics, BatchMetricsCollector, CreativesCollector

UNUSED = (OpenTelemetryMiddleware, TimeoutMiddleware)  # of BentoML's; telemetry and the bounds of requests do both


class Creatives:
    """The class that BentoML hosts; ApiMiddleware answers its requests."""


def create_bento_app(service: Service) -> ASGIApp:
    """Return BentoML's service behind the decide app, with the same models."""
    hosted = create_hosted()
    hosted.add_asgi_middleware(ApiMiddleware, admission=service.admission, first=create_endpoints(service))
    app = hosted.to_asgi()
    app.user_middleware = [own for own in app.user_middleware if own.cls not in UNUSED]
    return service.wrap(app)


def create_hosted(image: bentoml.images.Image | None = None) -> bentoml.Service[Any]:
    """Return BentoML's service without endpoints; a Bento of it becomes the image."""
    return bentoml.service(
        name="adloom",
        image=image,
        workers=1,
        metrics={"enabled": False},  # ApiMiddleware counts
        logging={"access": {"enabled": False}},
    )(Creatives)


def create_endpoints(service: Service) -> dict[str, ASGIApp]:
    """Return all endpoints and pages by path. Routing them through BentoML costs as much as decoding a picture."""
    models, pages = _models(service), create_routes(service)
    pages.routes.extend(studio.create_routes())
    service.exporter.registry.register(CreativesCollector(service.dependencies.issuer.find_expiry))
    by_path: dict[str, ASGIApp] = {route.path: pages for route in pages.routes if isinstance(route, Route)}
    return by_path | {path: models for path in ANSWERS if path in service.endpoints} | _batchers(service)


def _batchers(service: Service) -> dict[str, ASGIApp]:
    """Return the endpoints that answer in batches."""
    metrics = {path: BatchMetrics() for path in BATCHED_ANSWERS}
    service.exporter.registry.register(BatchMetricsCollector(metrics))
    service.exporter.registry.register(canary_metrics := CanaryMetrics())
    share = service.dependencies.canary_share
    return {
        path: _batcher(answer, service, metrics[path], Canary(answer.model, share, canary_metrics, answer.measure))
        for path, answer in BATCHED_ANSWERS.items()
    }


def _batcher(answer: BatchedAnswer, service: Service, metrics: BatchMetrics, canary: Canary) -> ASGIApp:
    def answer_requests(requests: Sequence[Any]) -> list[bytes | Exception]:
        models = service.models  # the same for the whole batch, also when new ones are published meanwhile
        return canary.answer(partial(answer_batch, answer, service, metrics), models, requests)

    batcher: RequestBatcher[Any] = RequestBatcher(answer_requests, answer.measure, answer.limit, metrics)
    saving = CapacityLimiter(QUERIES)  # apart from the model's turn, which a slow database must not delay

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        _check_library_access(Request(scope), service)
        try:
            body = await batcher.submit(current_request.get())
        except UnavailableError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        if answer.save and current_request.get().save:
            body = await to_thread.run_sync(answer.save, current_request.get(), body, service, limiter=saving)
        await Response(body, media_type="application/json")(scope, receive, send)

    return endpoint


def _models(service: Service) -> Starlette:
    """Return the endpoints of ANSWERS."""
    routes = [_route(path, answer, service) for path, answer in ANSWERS.items() if path in service.endpoints]
    return Starlette(routes=routes, exception_handlers={Problem: problem_response, UnavailableError: _unanswered})


def _route(path: str, answer: Answer, service: Service) -> Route:
    limiter, saving = CapacityLimiter(answer.concurrency), CapacityLimiter(QUERIES)

    async def endpoint(request: Request) -> Response:
        current_actor.set(service.auth.find_name(request.headers.get("authorization", "").encode("latin-1")))
        _check_library_access(request, service)
        body = await to_thread.run_sync(answer.run, current_request.get(), service, limiter=limiter)
        if answer.save and current_request.get().save:
            body = await to_thread.run_sync(answer.save, current_request.get(), body, service, limiter=saving)
        return json_response(body)

    return Route(path, endpoint, methods=["POST"])


def _check_library_access(request: Request, service: Service) -> None:
    """Raise Problem (403) when a request uses the library and its token may not."""
    values = current_request.get()
    uses_library = getattr(values, "save", False) or getattr(values, "picture_id", None) is not None
    header = request.headers.get("authorization", "").encode("latin-1")
    if uses_library and not service.auth.has_scope(header, "studio"):
        raise Problem(HTTPStatus.FORBIDDEN, "save and picture_id use the library, which needs the scope studio")


async def _unanswered(request: Request, error: Exception) -> Response:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()
