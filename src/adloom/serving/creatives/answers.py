"""The answers of the creatives service: in batches by one run of a model, or each by a function of its own."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.credentials_schemas import VERIFY
from adloom.serving.api.library_schemas import LIST, OUTCOMES, REVIEW, SHOW
from adloom.serving.api.middleware import current_actor
from adloom.serving.api.schemas import (
    COMPOSE,
    DREAM,
    GENERATE,
    MAX_ITEMS,
    MAX_PICTURES,
    READ,
    STYLIZE,
    WRITE,
    Body,
    CopyAnswer,
    GenerateAnswer,
)
from adloom.serving.app import Service
from adloom.serving.creatives import ads, classify, compose, generate, paint, verify
from adloom.serving.creatives.batched_answers import BatchedAnswer
from adloom.serving.library import answers as library
from adloom.serving.library import drafts
from adloom.serving.library.shared_library import find_rejected

QUERIES = 4  # of the library at a time


class Answer(NamedTuple):
    """A function that answers a request in a thread; it may raise Problem."""

    run: Callable[[Any, Service], Body]  # (the validated request, the service)
    concurrency: int = 1  # requests at a time: 1 for a model, which has threads of its own; more for a database
    save: Callable[[Any, Any, Service], Body] | None = None  # (request, answer, service): keeps the results


def _batched(save: Callable[[Any, Any, Service], Body], answer: type[Body]) -> Callable[[Any, bytes, Service], bytes]:
    """Return a function that saves an answer that is JSON already."""
    return lambda request, body, service: (
        save(request, answer.model_validate_json(body), service).model_dump_json().encode()
    )


ANSWERS: Mapping[str, Answer] = {
    STYLIZE: Answer(
        lambda request, service: paint.stylize(request, service.models, service.dependencies.issuer),
        save=drafts.save_painted,
    ),
    DREAM: Answer(
        lambda request, service: paint.dream(request, service.models, service.dependencies.issuer),
        save=drafts.save_painted,
    ),
    LIST: Answer(lambda request, service: library.list_creatives(request, service.dependencies.library), QUERIES),
    SHOW: Answer(lambda request, service: library.show(request, service.dependencies.library), QUERIES),
    OUTCOMES: Answer(lambda request, service: library.count_outcomes(request, service.dependencies.outcomes), QUERIES),
    REVIEW: Answer(
        lambda request, service: library.review(request, service.dependencies.library, current_actor.get()), QUERIES
    ),
    MAKE_ADS: Answer(lambda request, service: ads.answer(request, service.models, service.dependencies)),
    VERIFY: Answer(lambda request, service: verify.answer(request, service.dependencies.issuer)),
    COMPOSE: Answer(lambda request, service: compose.answer(request, service.models, service.dependencies.issuer)),
}
BATCHED_ANSWERS: Mapping[str, BatchedAnswer] = {
    GENERATE: BatchedAnswer(
        lambda request, models, service: generate.prepare_pictures(
            request, models, find_rejected(service.dependencies.library)
        ),
        generate.draw_pictures,
        lambda job, pixels, service: (
            generate.answer_pictures(job, pixels, service.dependencies.issuer).model_dump_json().encode()
        ),
        measure=lambda request: int(request.n),
        limit=MAX_ITEMS,
        model="gan",
        save=_batched(drafts.save_pictures, GenerateAnswer),
    ),
    WRITE: BatchedAnswer(
        lambda request, models, service: generate.prepare_copy(request, models),
        generate.write_lines,
        lambda job, lines, service: (
            generate.answer_copy(job, lines, service.dependencies.issuer).model_dump_json().encode()
        ),
        measure=lambda request: int(request.n),
        limit=MAX_ITEMS,
        model="lstm",
        save=_batched(drafts.save_lines, CopyAnswer),
    ),
    READ: BatchedAnswer(
        lambda request, models, service: classify.prepare(request, models),
        classify.run,
        lambda job, readings, service: classify.finish(job, readings),
        measure=lambda request: len(request.pictures),
        limit=MAX_PICTURES,
        model="cnn",
    ),
}
