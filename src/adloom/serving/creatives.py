"""
The creatives service: BentoML hosts what draws, writes and reads; on a laptop it answers the decide app's paths, too.

Requests are checked by the front before BentoML sees them, so that one set of rules holds for every path.
"""

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

import bentoml
from starlette.responses import Response
from starlette.types import ASGIApp

from adloom.errors import NoAnswerError
from adloom.serving import draw, read
from adloom.serving.decide import Service, admits, bare
from adloom.serving.front import Front
from adloom.serving.problems import Problem
from adloom.serving.schemas import (
    GENERATE,
    READ,
    WRITE,
    CopyAnswer,
    CopyRequest,
    GenerateAnswer,
    GenerateRequest,
    ReadAnswer,
    ReadRequest,
)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def mounted(service: Service) -> ASGIApp:
    """Return BentoML's service behind the bare decide app, whose models both use."""

    class Creatives:
        """Pictures drawn and read, lines written."""

        @_api(GENERATE)
        def generate(self, asked: GenerateRequest, /) -> GenerateAnswer:
            """Draw pictures of a category."""
            return draw.generate(asked, service.models)

        @_api(READ)
        def read(self, asked: ReadRequest, /) -> ReadAnswer:
            """Read pictures."""
            return read.read(asked, service.models)

        @_api(WRITE)
        def write(self, asked: CopyRequest, /) -> CopyAnswer:
            """Write lines of copy."""
            return draw.write(asked, service.models)

    hosted = bentoml.service(
        name="adloom",
        workers=1,
        threads=1,  # a model uses its own threads
        metrics={"enabled": False},  # the front counts, for both
        logging={"access": {"enabled": False}},
    )(Creatives)
    admit = admits(service.around.auth)
    hosted.add_asgi_middleware(
        Front, meter=service.meter, endpoints=service.endpoints, first=bare(service), admit=admit
    )
    return service.lane(hosted.to_asgi())


def _api(route: str) -> Callable[[Callable[[Any, Asked], Answer]], object]:
    """Make a method a BentoML endpoint that may raise Problem, of which BentoML alone would make a 500."""

    def endpoint(method: Callable[[Any, Asked], Answer]) -> object:
        @functools.wraps(method)
        def answer(self: object, asked: Asked, /) -> Answer | Response:
            try:
                return method(self, asked)
            except Problem as problem:
                return problem.response()
            except NoAnswerError as error:
                return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()

        return bentoml.api(route=route)(answer)

    return endpoint
