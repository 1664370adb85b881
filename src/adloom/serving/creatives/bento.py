"""
The creatives service: BentoML hosts the models that draw, write and read; `adloom serve` adds the decide app.

ApiMiddleware validates requests before BentoML sees them, so one set of rules holds for every path.
"""

from http import HTTPStatus

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
from adloom.serving.api.middleware import ApiMiddleware, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import READ
from adloom.serving.app import Service, create_routes, json_response, problem_response
from adloom.serving.creatives import studio
from adloom.serving.creatives.answers import ANSWERS, Answer
from adloom.serving.creatives.picture_batcher import PictureBatcher

UNUSED = (OpenTelemetryMiddleware, TimeoutMiddleware)  # of BentoML's; telemetry and the bounds of requests do both


def create_bento_app(service: Service) -> ASGIApp:
    """Return BentoML's service behind the decide app, with the same models."""

    class Creatives:
        """Pictures drawn and read, lines written."""

    hosted = bentoml.service(
        name="adloom",
        workers=1,
        metrics={"enabled": False},  # ApiMiddleware counts
        logging={"access": {"enabled": False}},
    )(Creatives)
    hosted.mount_asgi_app(_models(service))
    pages = create_routes(service)
    pages.routes.extend(studio.create_routes())
    first = {route.path: pages for route in pages.routes if isinstance(route, Route)} | {READ: _reader(service)}
    hosted.add_asgi_middleware(ApiMiddleware, admission=service.admission, first=first)
    app = hosted.to_asgi()
    app.user_middleware = [own for own in app.user_middleware if own.cls not in UNUSED]
    return service.wrap(app)


def _reader(service: Service) -> ASGIApp:
    """Return the endpoint that reads pictures in batches. Routing it through BentoML costs as much as decoding."""
    batcher = PictureBatcher(lambda: service.models)

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await batcher.read(current_request.get())
        except UnavailableError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        await Response(body, media_type="application/json")(scope, receive, send)

    return read


def _models(service: Service) -> Starlette:
    """Return the endpoints of ANSWERS."""
    routes = [_route(path, answer, service) for path, answer in ANSWERS.items() if path in service.endpoints]
    return Starlette(routes=routes, exception_handlers={Problem: problem_response, UnavailableError: _unanswered})


def _route(path: str, answer: Answer, service: Service) -> Route:
    limiter = CapacityLimiter(answer.concurrency)

    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(
            lambda: json_response(answer.run(current_request.get(), service)), limiter=limiter
        )

    return Route(path, endpoint, methods=["POST"])


async def _unanswered(request: Request, error: Exception) -> Response:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()
