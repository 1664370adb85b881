"""Batches of requests: which requests are run together, and which leave before their turn."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from adloom.serving.creatives.request_batcher import THREADS, RequestBatcher
from adloom.serving.metrics import BatchMetrics, BatchMetricsCollector

PATIENCE = 30  # seconds
LIMIT = 16

Request = tuple[str, int]  # name, size
Batcher = RequestBatcher[Request]


class Model:
    """A model that notes each batch and waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go_on = threading.Event()

    def __call__(self, requests: Sequence[Request]) -> list[bytes | Exception]:
        names = [name for name, _ in requests]
        self.batches.append(names)
        assert self.go_on.wait(PATIENCE)
        if "broken" in names:
            raise ValueError
        return [ValueError(name) if name == "bad" else name.encode() for name in names]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def metrics() -> BatchMetrics:
    return BatchMetrics()


def start(batcher: Batcher, *names: str, size: int = 1) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(batcher.submit((name, size))) for name in names]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def fill(batcher: Batcher, model: Model) -> list[asyncio.Task[bytes]]:
    """Begin a request in each of the threads."""
    tasks: list[asyncio.Task[bytes]] = []
    for number in range(THREADS):
        tasks += start(batcher, f"first {number}")
        await until(lambda: len(model.batches) > number)  # noqa: B023 - awaited in the loop
    return tasks


def run(model: Model, test: Callable[[Batcher], Awaitable[Any]], metrics: BatchMetrics | None = None) -> None:
    async def wait() -> None:
        async with asyncio.timeout(PATIENCE):
            await test(RequestBatcher(model, lambda request: request[1], LIMIT, metrics or BatchMetrics()))

    asyncio.run(wait())


def test_requests_that_wait_at_the_same_time_are_one_batch(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = await fill(batcher, model) + start(batcher, "a", "b", "c")
        await asyncio.sleep(0)
        model.go_on.set()
        assert [await task for task in tasks] == [b"first 0", b"a", b"b", b"c"]
        assert model.batches == [["first 0"], ["a", "b", "c"]]

    run(model, test)


def test_an_error_is_of_its_request_alone(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = await fill(batcher, model) + start(batcher, "a", "bad", "c")
        await asyncio.sleep(0)
        model.go_on.set()
        answers = await asyncio.gather(*tasks[THREADS:], return_exceptions=True)
        assert (answers[0], type(answers[1]), answers[2]) == (b"a", ValueError, b"c")

    run(model, test)


def test_the_sizes_of_a_batch_sum_to_at_most_the_limit(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = await fill(batcher, model)
        tasks += start(batcher, "a", size=LIMIT) + start(batcher, *"bcd", size=LIMIT // 2)
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.gather(*tasks)
        assert sorted(model.batches[THREADS:]) == [["a"], ["b", "c"], ["d"]]

    run(model, test)


def test_a_request_that_is_cancelled_leaves_before_its_turn(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = await fill(batcher, model)
        left, staying = start(batcher, "left", "staying")
        await asyncio.sleep(0)
        left.cancel()
        tasks[0].cancel()  # its batch runs: the others of the batch need no answer of it
        await asyncio.wait([left, tasks[0]])
        model.go_on.set()
        assert await staying == b"staying"
        assert model.batches == [["first 0"], ["staying"]]
        assert left.cancelled()
        assert tasks[0].cancelled()

    run(model, test)


def test_nothing_is_run_when_all_left(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks, (left,) = await fill(batcher, model), start(batcher, "left")
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        model.go_on.set()
        await asyncio.gather(*tasks)
        (later,) = start(batcher, "later")
        assert await later == b"later"
        assert model.batches[THREADS:] == [["later"]]

    run(model, test)


def test_every_request_is_answered_when_the_function_itself_fails(model: Model) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = start(batcher, "broken")
        model.go_on.set()
        assert [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError]
        assert await start(batcher, "next")[0] == b"next"

    run(model, test)


def test_requests_are_answered_when_an_event_loop_closed_before_its_answers(
    model: Model, metrics: BatchMetrics
) -> None:
    batcher: Batcher = RequestBatcher(model, lambda request: request[1], LIMIT, metrics)

    async def second() -> bytes:
        (task,) = start(batcher, "other")
        await asyncio.sleep(0)  # it waits for a thread now
        model.go_on.set()
        return await asyncio.wait_for(task, PATIENCE)

    asyncio.run(fill(batcher, model))
    assert asyncio.run(second()) == b"other"


def test_batches_are_measured(model: Model, metrics: BatchMetrics) -> None:
    async def test(batcher: Batcher) -> None:
        tasks = await fill(batcher, model) + start(batcher, "a", "b", "c")
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.gather(*tasks)

    run(model, test, metrics)
    registry = CollectorRegistry()
    registry.register(BatchMetricsCollector({"/path": metrics}))
    path = {"path": "/path"}
    assert registry.get_sample_value("adloom_batch_size_count", path) == THREADS + 1
    assert registry.get_sample_value("adloom_batch_size_sum", path) == THREADS + 3
    assert registry.get_sample_value("adloom_batch_size_bucket", {**path, "le": "2.0"}) == THREADS
    assert registry.get_sample_value("adloom_batch_queue_seconds_count", path) == THREADS + 3
