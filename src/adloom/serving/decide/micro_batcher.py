"""
Micro-batching: answer together the requests that one poll of the sockets reads.

A request that a poll finds at once may have arrived at any time since the previous one. Answers sent one by one take
twice as long each: every send wakes its reader and cools the CPU caches.
"""

import select
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

MAX_QUEUE = 128  # requests of one poll that are answered, some milliseconds of work; the others are refused
MAX_BATCH = 16  # requests answered at once; the first of them waits for the others
IMMEDIATE = 0.0002  # seconds from the last answer to the first read of a poll, up to which the request was waiting
CLOSED = -1  # file descriptor of a socket that is closed on this side

Headers = Mapping[bytes, bytes]


class Arrival(NamedTuple):
    """When a request arrived, and whether it fits into the queue."""

    time: float  # of time.perf_counter
    fits: bool = True


class Request(NamedTuple):
    """A complete POST."""

    path: str
    headers: Headers
    body: bytes
    arrival: Arrival
    is_admitted: bool = False  # before its body arrived


class Reply(NamedTuple):
    """A response."""

    status: int
    head: bytes  # header lines, names in lower case
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, with the length."""
        lines = (line.partition(b": ") for line in self.head.splitlines())
        return [*((name, value) for name, _, value in lines), (b"content-length", b"%d" % len(self.body))]


class Client(Protocol):
    """The connection of a request."""

    def fileno(self) -> int:
        """Return the socket's file descriptor, or CLOSED."""


QueuedRequest = tuple[Request, Callable[[Reply], None], Client | None]  # with the function that gets the reply


class MicroBatcher:
    """Queues the requests of one poll until it ends."""

    def __init__(
        self,
        answer: Callable[[Sequence[Request]], list[Reply]],
        refuse: Callable[[Sequence[Request]], Reply],
        drop: Callable[[Sequence[Request]], None],
        max_queue: int = MAX_QUEUE,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `finish` when answers are sent."""
        self._answer, self._refuse, self._drop, self._max_queue = answer, refuse, drop, max_queue
        self._finish = finish
        self._is_reading = False
        self._reads = 0  # requests of this poll
        self._queue: list[QueuedRequest] = []
        self._overflow: list[QueuedRequest] = []
        self._arrival = self._last_poll = self._last_answer = time.perf_counter()

    def record_arrival(self, call_soon: Callable[[Callable[[], None]], object]) -> Arrival:
        """Return the arrival of a request; `call_soon(f)` calls f when the poll ends."""
        if not self._is_reading:
            now = time.perf_counter()
            self._arrival = self._last_poll if now - self._last_answer < IMMEDIATE else now
            self._last_poll, self._is_reading, self._reads = now, True, 0
            call_soon(self._end_poll)
        self._reads += 1
        return Arrival(self._arrival, self._reads <= self._max_queue)

    def record_answer(self, now: float) -> None:
        """Record the time of an answer."""
        self._last_answer = now

    def submit(self, request: Request, send: Callable[[Reply], None], client: Client | None = None) -> None:
        """Queue a request, and send its reply when the poll ends."""
        queue = self._queue if request.arrival.fits else self._overflow
        queue.append((request, send, client))
        if len(self._queue) >= MAX_BATCH or not self._is_reading:
            self.flush()

    def flush(self) -> None:
        """Answer the queued requests in order."""
        if self._queue:
            queue, self._queue = self._drop_closed(self._queue), []
            replies = self._answer([request for request, _, _ in queue])
            for (_, send, _), reply in zip(queue, replies, strict=True):
                send(reply)
            self._finish()
        if overflow := self._overflow:  # read after those in the queue
            self._overflow = []
            reply = self._refuse([request for request, _, _ in overflow])
            for _, send, _ in overflow:
                send(reply)

    def _drop_closed(self, queue: list[QueuedRequest]) -> list[QueuedRequest]:
        descriptors = [client.fileno() if client else None for _, _, client in queue]
        closed = _find_closed(descriptor for descriptor in descriptors if descriptor is not None)
        if not closed:
            return queue
        pairs = list(zip(queue, descriptors, strict=True))
        self._drop([request for (request, _, _), descriptor in pairs if descriptor in closed])
        return [queued for queued, descriptor in pairs if descriptor not in closed]

    def _end_poll(self) -> None:
        self.flush()
        self._is_reading, self._last_answer = False, time.perf_counter()


def _find_closed(descriptors: Iterable[int]) -> set[int]:
    """Return the sockets whose other side is closed, with one system call."""
    poll, closed = select.poll(), set[int]()
    for descriptor in descriptors:
        if descriptor == CLOSED:
            closed.add(descriptor)
        else:
            poll.register(descriptor, select.POLLRDHUP)
    return closed.union(descriptor for descriptor, _ in poll.poll(0))
