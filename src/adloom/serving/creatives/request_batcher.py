"""Adaptive batching: requests that wait at the same time are answered by one run of a model."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from adloom.serving.metrics import BatchMetrics
from adloom.threads import lower_priority

THREADS = 1  # more run Python at the same time, so that decisions wait longer, and answer no more requests

Request = TypeVar("Request")
Reply = asyncio.Future[bytes]


class RequestBatcher(Generic[Request]):
    """
    Answer requests in batches of a limited size.

    A batch takes the requests that wait when the batch before has ended. It never waits for more.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Request]], Sequence[bytes | Exception]],
        measure: Callable[[Request], int],
        limit: int,
        metrics: BatchMetrics,
    ) -> None:
        """Answer batches with `answer`; the sizes of their requests, as `measure` says, sum to at most `limit`."""
        self._answer, self._measure, self._limit, self._metrics = answer, measure, limit, metrics
        self._threads = ThreadPoolExecutor(THREADS, "batch", lower_priority)
        self._free = THREADS
        self._waiting: dict[Reply, tuple[Request, float]] = {}  # with the time of arrival, the oldest first
        self._lock = threading.Lock()

    async def submit(self, request: Request) -> bytes:
        """Return the answer. A request that is cancelled before a batch takes it is not run."""
        reply: Reply = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting[reply] = request, time.perf_counter()
            if self._free:
                self._free -= 1
                self._threads.submit(self._run)
        try:
            return await reply
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(reply, None)
            raise

    def _run(self) -> None:
        """Answer one batch in a thread, then submit the next one."""
        batch = self._take()
        try:
            results = self._answer(list(batch.values())) if batch else []
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            results = [error] * len(batch)
        for reply, result in zip(batch, results, strict=True):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                reply.get_loop().call_soon_threadsafe(_deliver, reply, result)
        with self._lock:
            if self._waiting:
                self._threads.submit(self._run)
            else:
                self._free += 1

    def _take(self) -> dict[Reply, Request]:
        """Remove and return the oldest requests, as many as fit into one batch."""
        batch: dict[Reply, Request] = {}
        with self._lock:
            now, room = time.perf_counter(), self._limit
            for reply, (request, arrival) in self._waiting.items():
                room -= self._measure(request)
                if room < 0 and batch:
                    break
                batch[reply] = request
                self._metrics.queue_seconds.observe(now - arrival)
            for reply in batch:
                del self._waiting[reply]
            if batch:
                self._metrics.size.observe(len(batch))
        return batch


def _deliver(reply: Reply, result: bytes | Exception) -> None:
    if reply.cancelled():
        return
    if isinstance(result, Exception):
        reply.set_exception(result)
    else:
        reply.set_result(result)
