"""
The creatives service: BentoML hosts what draws, writes and reads; on a laptop it answers the decide app's paths, too.

Requests are checked by the front before BentoML sees them, so that one set of rules holds for every path; BentoML is
given nothing to parse again.
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
from adloom.serving.decide import Service, bare
from adloom.serving.front import Front, asked
from adloom.serving.problems import Problem
from adloom.serving.schemas import (
    GENERATE,
    READ,
    WRITE,
    CopyAnswer,
    GenerateAnswer,
    ReadAnswer,
)

Parsed = dict[str, str]  # the empty body that BentoML is given: `front.asked` has the request
Answer = TypeVar("Answer")


def mounted(service: Service) -> ASGIApp:
    """Return BentoML's service behind the bare decide app, whose models both use."""

    class Creatives:
        """Pictures drawn and read, lines written."""

        @_api(GENERATE)
        def generate(self, _: Parsed, /) -> GenerateAnswer:
            """Draw pictures of a category."""
            return draw.generate(asked.get(), service.models)

        @_api(READ)
        def read(self, _: Parsed, /) -> ReadAnswer:
            """Read pictures."""
            return read.read(asked.get(), service.models)

        @_api(WRITE)
        def write(self, _: Parsed, /) -> CopyAnswer:
            """Write lines of copy."""
            return draw.write(asked.get(), service.models)

    hosted = bentoml.service(
        name="adloom",
        workers=1,
        threads=1,  # a model uses its own threads
        metrics={"enabled": False},  # the front counts, for both
        logging={"access": {"enabled": False}},
    )(Creatives)
    hosted.add_asgi_middleware(Front, admission=service.admission, first=bare(service))
    return service.lane(hosted.to_asgi())


def _api(route: str) -> Callable[[Callable[[Any, Parsed], Answer]], object]:
    """Make a method a BentoML endpoint that may raise Problem, of which BentoML alone would make a 500."""

    def endpoint(method: Callable[[Any, Parsed], Answer]) -> object:
        @functools.wraps(method)
        def answer(self: object, parsed: Parsed, /) -> Answer | Response:
            try:
                return method(self, parsed)
            except Problem as problem:
                return problem.response()
            except NoAnswerError as error:
                return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()

        return bentoml.api(route=route)(answer)

    return endpoint
