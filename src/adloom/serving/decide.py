"""
The decide app: lean, for answers inside an ad system's deadline. It also has what every service has: the list of
models, probes, metrics, OpenAPI.

`state.models` is all that is served; a request looks at it once, so that it may be replaced between two requests.
"""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adloom.serving import openapi, segments
from adloom.serving.bundles import Models
from adloom.serving.front import ASKED, Front, Meter
from adloom.serving.problems import Problem
from adloom.serving.schemas import ENDPOINTS, SEGMENT, Endpoint, ModelList, Readiness

OWN = {SEGMENT: ENDPOINTS[SEGMENT]}


def alone(models: Models, keys: segments.Keys) -> Starlette:
    """Return the app as a service of its own, with its front."""
    meter = Meter()
    app = bare(models, keys, meter, OWN)
    app.add_middleware(Front, meter=meter, endpoints=OWN)
    return app


def bare(models: Models, keys: segments.Keys, meter: Meter, endpoints: Mapping[str, Endpoint]) -> Starlette:
    """Return the app without its front, for a service that has one and answers these endpoints."""
    own = [Route(SEGMENT, _segment, methods=["POST"])] if SEGMENT in endpoints else []
    app = Starlette(
        routes=[
            *own,
            Route("/v1/models", _models),
            Route("/livez", _live),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
            Route("/openapi.json", _openapi),
            Route("/docs.json", _openapi),  # where BentoML's page of endpoints looks
        ],
        exception_handlers={Problem: _problem},
    )
    app.state.models, app.state.keys, app.state.meter = models, keys, meter
    app.state.openapi = orjson.dumps(openapi.document(endpoints))
    return app


def _json(body: BaseModel) -> Response:
    return Response(orjson.dumps(body.model_dump()), media_type="application/json")


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


async def _segment(request: Request) -> Response:
    state = request.app.state
    return _json(segments.segment(request.scope[ASKED], state.models, state.keys))


async def _models(request: Request) -> Response:
    models: Models = request.app.state.models
    served = [bundle.served for bundle in models.bundles.values()]
    return _json(ModelList(models=served, absent=dict(models.absent)))


async def _live(request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _ready(request: Request) -> Response:
    models: Models = request.app.state.models
    if not models.bundles:
        reasons = "; ".join(f"{model}: {reason}" for model, reason in models.absent.items())
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"no model is served: {reasons or 'none was found'}")
    return _json(Readiness(ready=True, models=list(models.bundles)))


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.meter.registry), media_type=CONTENT_TYPE_LATEST)


async def _openapi(request: Request) -> Response:
    return Response(request.app.state.openapi, media_type="application/json")
