"""
The line: the requests that wait, and since when. It is what one process can know of its own queue.

A process looks at its sockets, answers what it reads, and looks again. What it reads came after the look before: if
this look found it at once, it may have waited since then, and that is taken for its arrival.

What one look reads is answered together. To send an answer wakes its reader, after which a processor has to learn the
code anew, on a virtual machine above all: of two requests answered one by one each takes twice as long as of two
answered together, and for a model many candidates cost little more than few.
"""

import select
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

MAX_QUEUE = 128  # requests answered of those that one look finds: some milliseconds of work; more are sent away
MAX_BATCH = 16  # requests that are answered at once: the first of them waits for the others
AT_ONCE = 0.0002  # seconds between the last answer and a look's first find, up to which it was there already
CLOSED = -1  # file number of a socket that is closed on this side

Headers = Mapping[bytes, bytes]


class Arrival(NamedTuple):
    """When the last byte of a request came, and whether there is room for the request in the line."""

    at: float  # by time.perf_counter
    fits: bool = True


class Request(NamedTuple):
    """A POST whose body is here."""

    path: str
    headers: Headers
    body: bytes
    arrival: Arrival
    admitted: bool = False  # before its body came

    @property
    def arrived(self) -> float:
        """When it came, by time.perf_counter."""
        return self.arrival.at


class Reply(NamedTuple):
    """What is sent back, beside the length of the body."""

    status: int
    head: bytes  # lines of headers, in small letters
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, in pairs, with the length."""
        lines = (line.partition(b": ") for line in self.head.splitlines())
        return [*((name, value) for name, _, value in lines), (b"content-length", b"%d" % len(self.body))]


class Client(Protocol):
    """The connection on which a request came."""

    def fileno(self) -> int:
        """Return the number of its socket, or CLOSED."""


Waiting = tuple[Request, Callable[[Reply], None], Client | None]  # with who is told the reply


class MicroBatcher:
    """The requests that are read at one look at the sockets, and wait to be answered when it is over."""

    def __init__(
        self,
        answer: Callable[[Sequence[Request]], list[Reply]],
        refuse: Callable[[Sequence[Request]], Reply],
        drop: Callable[[Sequence[Request]], None],
        room: int = MAX_QUEUE,
    ) -> None:
        self._answer, self._refuse, self._drop, self._room = answer, refuse, drop, room
        self._reading = False
        self._read = 0
        self._waiting: list[Waiting] = []
        self._too_many: list[Waiting] = []
        self._since = self._looked = self._done = time.perf_counter()

    def arrives(self, when_read: Callable[[Callable[[], None]], object]) -> Arrival:
        """Note a complete request, and return when it arrived; `when_read(f)` has `f` called once the look is over."""
        if not self._reading:
            now = time.perf_counter()
            self._since = self._looked if now - self._done < AT_ONCE else now
            self._looked, self._reading, self._read = now, True, 0
            when_read(self._over)
        self._read += 1
        return Arrival(self._since, self._read <= self._room)

    def answered(self, now: float) -> None:
        """Note an answer."""
        self._done = now

    def join(self, request: Request, tell: Callable[[Reply], None], client: Client | None = None) -> None:
        """Let a request wait until the look is over, at the longest, and tell its reply."""
        place = self._waiting if request.arrival.fits else self._too_many
        place.append((request, tell, client))
        if len(self._waiting) >= MAX_BATCH or not self._reading:
            self.flush()

    def flush(self) -> None:
        """Answer what waits, in the order in which it was read: before anything else is answered or closed."""
        if self._waiting:
            waiting, self._waiting = self._drop_gone(self._waiting), []
            replies = self._answer([request for request, _, _ in waiting])
            for (_, tell, _), reply in zip(waiting, replies, strict=True):
                tell(reply)
        if too_many := self._too_many:  # which were read after those
            self._too_many = []
            reply = self._refuse([request for request, _, _ in too_many])
            for _, tell, _ in too_many:
                tell(reply)

    def _drop_gone(self, waiting: list[Waiting]) -> list[Waiting]:
        """Drop the requests of clients that went away."""
        numbers = [client.fileno() if client else None for _, _, client in waiting]
        gone = _find_closed(number for number in numbers if number is not None)
        if not gone:
            return waiting
        self._drop([one[0] for one, number in zip(waiting, numbers, strict=True) if number in gone])
        return [one for one, number in zip(waiting, numbers, strict=True) if number not in gone]

    def _over(self) -> None:
        self.flush()
        self._reading, self._done = False, time.perf_counter()


def _find_closed(numbers: Iterable[int]) -> set[int]:
    """Return those of these sockets whose other side was closed, in one call of the system."""
    poll, gone = select.poll(), set[int]()
    for number in numbers:
        if number == CLOSED:
            gone.add(number)
        else:
            poll.register(number, select.POLLRDHUP)
    return gone.union(number for number, _ in poll.poll(0))
