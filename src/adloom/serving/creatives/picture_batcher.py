"""Micro-batching: read requests that wait at the same time are answered by one run of the picture reader."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from adloom.serving.api.schemas import MAX_PICTURES, ReadRequest
from adloom.serving.creatives import classify
from adloom.serving.models.loader import Models

BATCHES = 2  # at the same time: one runs the model while the other is decoded or compared with known creatives

Answer = asyncio.Future[bytes]


class PictureBatcher:
    """
    Answer read requests in batches of at most MAX_PICTURES pictures.

    A batch takes the requests that wait when one of BATCHES threads is free. It waits for nothing else.
    """

    def __init__(self, models: Callable[[], Models]) -> None:
        self._models = models
        self._threads = ThreadPoolExecutor(BATCHES, "read")
        self._free = BATCHES  # threads that no batch runs in
        self._waiting: dict[Answer, ReadRequest] = {}  # the oldest first
        self._lock = threading.Lock()

    async def read(self, request: ReadRequest) -> bytes:
        """Return the answer as JSON. A request that is cancelled before a batch takes it is not run."""
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        with self._lock:
            self._waiting[answer] = request
            if self._free:
                self._free -= 1
                self._threads.submit(self._run, loop)
        try:
            return await answer
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(answer, None)
            raise

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer one batch in a thread, then submit the next one."""
        batch = self._take()
        results = classify.read(list(batch.values()), self._models()) if batch else []
        loop.call_soon_threadsafe(_deliver, list(batch), results)
        with self._lock:
            if self._waiting:
                self._threads.submit(self._run, loop)
            else:
                self._free += 1

    def _take(self) -> dict[Answer, ReadRequest]:
        """Remove and return the oldest requests, as many as fit into one batch."""
        batch, room = {}, MAX_PICTURES
        with self._lock:
            for answer, request in self._waiting.items():
                room -= len(request.pictures)
                if room < 0:
                    break
                batch[answer] = request
            for answer in batch:
                del self._waiting[answer]
        return batch


def _deliver(answers: Sequence[Answer], results: Sequence[bytes | Exception]) -> None:
    for answer, result in zip(answers, results, strict=True):
        if answer.cancelled():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
