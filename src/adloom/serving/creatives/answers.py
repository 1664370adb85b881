"""The answers of the endpoints that create: what runs for each path, and how many requests at a time."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from adloom.serving.api.schemas import COMPOSE, DREAM, GENERATE, STYLIZE, WRITE, Body
from adloom.serving.app import Service
from adloom.serving.creatives import compose, generate, paint


class Answer(NamedTuple):
    """A function that answers a request in a thread; it may raise Problem."""

    run: Callable[[Any, Service], Body]  # (the validated request, the service)
    concurrency: int = 1  # requests at a time: 1 for a model, which has threads of its own; more for a database


ANSWERS: Mapping[str, Answer] = {
    GENERATE: Answer(lambda request, service: generate.generate(request, service.models)),
    WRITE: Answer(lambda request, service: generate.write(request, service.models)),
    STYLIZE: Answer(lambda request, service: paint.stylize(request, service.models)),
    DREAM: Answer(lambda request, service: paint.dream(request, service.models)),
    COMPOSE: Answer(lambda request, service: compose.answer(request, service.models)),
}
