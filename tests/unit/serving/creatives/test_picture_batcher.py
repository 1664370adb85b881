"""Batches of requests: which requests are run together, and which leave before their turn."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from adloom.serving.api.schemas import MAX_PICTURES, ReadRequest
from adloom.serving.creatives import classify
from adloom.serving.creatives.picture_batcher import BATCHES, PictureBatcher
from adloom.serving.models.loader import Models

PATIENCE = 30  # seconds


class Reading:
    """What stands in for reading: it notes each batch and waits until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []  # the first picture of each request
        self.go_on = threading.Event()

    def __call__(self, requests: Sequence[ReadRequest], models: Models) -> list[bytes | Exception]:
        names = [request.pictures[0] for request in requests]
        self.batches.append(names)
        assert self.go_on.wait(PATIENCE)
        return [ValueError(name) if name == "bad" else name.encode() for name in names]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading = Reading()
    monkeypatch.setattr(classify, "read", reading)
    return reading


def start(batcher: PictureBatcher, *names: str, pictures: int = 1) -> list[asyncio.Task[bytes]]:
    requests = [ReadRequest(pictures=[name] * pictures) for name in names]
    return [asyncio.create_task(batcher.read(request)) for request in requests]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def fill(batcher: PictureBatcher, reading: Reading) -> list[asyncio.Task[bytes]]:
    """Begin a request in each of the threads."""
    tasks: list[asyncio.Task[bytes]] = []
    for number in range(BATCHES):
        tasks += start(batcher, f"first {number}")
        await until(lambda: len(reading.batches) > number)  # noqa: B023 - awaited in the loop
    return tasks


def run(test: Callable[[PictureBatcher], Awaitable[Any]]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(PATIENCE):
            await test(PictureBatcher(lambda: Models({}, {})))

    asyncio.run(wait())


def test_requests_that_wait_at_the_same_time_are_one_batch(reading: Reading) -> None:
    async def test(batcher: PictureBatcher) -> None:
        tasks = await fill(batcher, reading) + start(batcher, "a", "b", "c")
        await asyncio.sleep(0)
        reading.go_on.set()
        assert [await task for task in tasks] == [b"first 0", b"first 1", b"a", b"b", b"c"]
        assert reading.batches == [["first 0"], ["first 1"], ["a", "b", "c"]]

    run(test)


def test_an_error_is_of_its_request_alone(reading: Reading) -> None:
    async def test(batcher: PictureBatcher) -> None:
        tasks = await fill(batcher, reading) + start(batcher, "a", "bad", "c")
        await asyncio.sleep(0)
        reading.go_on.set()
        answers = await asyncio.gather(*tasks[BATCHES:], return_exceptions=True)
        assert (answers[0], type(answers[1]), answers[2]) == (b"a", ValueError, b"c")

    run(test)


def test_a_batch_has_no_more_pictures_than_one_request_may_have(reading: Reading) -> None:
    async def test(batcher: PictureBatcher) -> None:
        tasks = await fill(batcher, reading)
        tasks += start(batcher, "a", pictures=MAX_PICTURES) + start(batcher, *"bcd", pictures=MAX_PICTURES // 2)
        await asyncio.sleep(0)
        reading.go_on.set()
        await asyncio.gather(*tasks)
        assert sorted(reading.batches[BATCHES:]) == [["a"], ["b", "c"], ["d"]]

    run(test)


def test_a_request_that_is_cancelled_leaves_before_its_turn(reading: Reading) -> None:
    async def test(batcher: PictureBatcher) -> None:
        tasks = await fill(batcher, reading)
        left, staying = start(batcher, "left", "staying")
        await asyncio.sleep(0)
        left.cancel()
        tasks[0].cancel()  # its batch runs: the others of the batch need no answer of it
        await asyncio.wait([left, tasks[0]])
        reading.go_on.set()
        assert await staying == b"staying"
        assert reading.batches == [["first 0"], ["first 1"], ["staying"]]
        assert left.cancelled()
        assert tasks[0].cancelled()

    run(test)


def test_nothing_is_run_when_all_left(reading: Reading) -> None:
    async def test(batcher: PictureBatcher) -> None:
        tasks, (left,) = await fill(batcher, reading), start(batcher, "left")
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        reading.go_on.set()
        await asyncio.gather(*tasks)
        (later,) = start(batcher, "later")
        assert await later == b"later"
        assert reading.batches[BATCHES:] == [["later"]]

    run(test)
