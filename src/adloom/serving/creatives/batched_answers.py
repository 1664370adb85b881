"""Answer several requests by one run of a model, so that a request that fails harms no other."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from adloom.serving.app import Service
from adloom.serving.metrics import BatchMetrics
from adloom.serving.models.loader import Models

MAX_SECONDS = 20.0  # of the search for the requests that make a batch fail


class BatchedAnswer(NamedTuple):
    """
    The steps that answer requests together.

    Only `run` sees several requests. What it returns for a request must not depend on the others.
    """

    prepare: Callable[[Any, Models, Service], Any]  # validates a request and returns its job; may raise Problem
    run: Callable[[Sequence[Any]], Sequence[Any]]  # returns the output of each job
    finish: Callable[[Any, Any, Service], bytes]  # (job, output, service): returns the answer as JSON
    measure: Callable[[Any], int]  # returns the size of a request
    limit: int  # of the sizes of a batch
    model: str  # that answers
    save: Callable[[Any, bytes, Service], bytes] | None = None  # (request, answer, service): keeps the results


def answer_batch(
    answer: BatchedAnswer, service: Service, metrics: BatchMetrics, models: Models, requests: Sequence[Any]
) -> list[bytes | Exception]:
    """Return the answer to each request, or the error it fails with."""
    jobs = [_attempt(answer.prepare, request, models, service) for request in requests]
    valid = [job for job in jobs if not isinstance(job, Exception)]
    outputs = iter(run_bisected(answer.run, valid, metrics))
    results = [(job, job if isinstance(job, Exception) else next(outputs)) for job in jobs]
    return [
        output if isinstance(output, Exception) else _attempt(answer.finish, job, output, service)
        for job, output in results
    ]


def run_bisected(
    run: Callable[[Sequence[Any]], Sequence[Any]], jobs: Sequence[Any], metrics: BatchMetrics
) -> list[Any | Exception]:
    """
    Return the output of each job, or the error it fails with.

    A batch that fails is halved until only the jobs that fail alone remain, for at most MAX_SECONDS.
    """
    end = time.monotonic() + MAX_SECONDS

    def attempt(part: Sequence[Any]) -> list[Any | Exception]:
        try:
            return list(run(part)) if part else []
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises its own
            failure = error
        if len(part) > 1 and time.monotonic() < end:
            middle = len(part) // 2
            return attempt(part[:middle]) + attempt(part[middle:])
        metrics.poisoned += len(part)
        return [failure] * len(part)

    return attempt(jobs)


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any | Exception:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - fails this request alone
        return error
