"""A request that fails harms no other request of its batch."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.app import Service, ServiceDependencies
from adloom.serving.creatives import batched_answers
from adloom.serving.creatives.batched_answers import BatchedAnswer, answer_batch, run_bisected
from adloom.serving.metrics import BatchMetrics
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


def double(jobs: Sequence[Any]) -> list[int]:
    """Return twice each number; fail for a batch with a negative one."""
    if any(job < 0 for job in jobs):
        raise ValueError(min(jobs))
    return [2 * job for job in jobs]


def require_number(request: Any, models: Models, service: Service) -> int:
    return int(request)


def refuse_large(job: int, output: int, service: Service) -> bytes:
    if output > 100:
        raise OverflowError
    return str(output).encode()


ANSWER = BatchedAnswer(require_number, double, refuse_large, lambda request: 1, limit=16, model="cnn")


@given(st.lists(st.integers(-3, 30), max_size=20))
def test_exactly_the_jobs_that_fail_alone_fail(jobs: list[int]) -> None:
    metrics = BatchMetrics()
    outputs = run_bisected(double, jobs, metrics)
    for job, output in zip(jobs, outputs, strict=True):
        assert output.args == (job,) if job < 0 else output == 2 * job
    assert metrics.poisoned == sum(job < 0 for job in jobs)


def test_a_model_that_fails_for_all_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_answers, "MAX_SECONDS", 0.0)
    batches = []

    def fail(jobs: Sequence[Any]) -> list[Any]:
        batches.append(len(jobs))
        raise ValueError

    metrics = BatchMetrics()
    assert [type(output) for output in run_bisected(fail, [1, 2, 3], metrics)] == [ValueError] * 3
    assert (batches, metrics.poisoned) == ([3], 3)


def test_each_step_fails_for_its_request_alone() -> None:
    service = Service(Models({}, {}), ServiceDependencies(PseudonymKeys(None)), ENDPOINTS)
    metrics = BatchMetrics()
    answers = answer_batch(ANSWER, service, metrics, service.models, ["1", "none", "-1", "99", "2"])
    assert [answer if isinstance(answer, bytes) else type(answer) for answer in answers] == [
        b"2",
        ValueError,
        ValueError,
        OverflowError,
        b"4",
    ]
    assert metrics.poisoned == 1
