"""
The line: the requests that wait, and since when. It is what one process can know of its own queue.

A process looks at its sockets, answers what it reads, and looks again. What it reads came after the look before: if
this look found it at once, it may have waited since then, and that is taken for its arrival.

What one look reads is answered together. To send an answer wakes its reader, after which a processor has to learn the
code anew, on a virtual machine above all: of two requests answered one by one each takes twice as long as of two
answered together, and for a model many candidates cost little more than few.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

ROOM = 128  # requests answered of those that one look finds: some milliseconds of work; more are sent away
TOGETHER = 16  # requests that are answered at once: the first of them waits for the others
AT_ONCE = 0.0002  # seconds between the last answer and a look's first find, up to which it was there already

Headers = Mapping[bytes, bytes]


class Request(NamedTuple):
    """A POST whose body is here."""

    path: str
    headers: Headers
    body: bytes
    arrived: float  # by time.perf_counter


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


Waiting = tuple[Request, Callable[[Reply], None]]  # and who is told the reply


class Line:
    """The requests that are read at one look at the sockets, and wait to be answered when it is over."""

    def __init__(
        self,
        answer: Callable[[Sequence[Request]], list[Reply]],
        refuse: Callable[[Sequence[Request]], Reply],
        room: int = ROOM,
    ) -> None:
        self._answer, self._refuse, self._room = answer, refuse, room
        self._reading = False
        self._read = 0
        self._waiting: list[Waiting] = []
        self._too_many: list[Waiting] = []
        self._since = self._looked = self._done = time.perf_counter()

    def arrives(self, when_read: Callable[[Callable[[], None]], object]) -> float:
        """Note a request, and return when it arrived; `when_read(f)` has `f` called once the look is over."""
        if not self._reading:
            now = time.perf_counter()
            self._since = self._looked if now - self._done < AT_ONCE else now
            self._looked, self._reading, self._read = now, True, 0
            when_read(self._over)
        self._read += 1
        return self._since

    def answered(self, now: float) -> None:
        """Note an answer."""
        self._done = now

    def join(self, request: Request, tell: Callable[[Reply], None]) -> None:
        """Let a request wait, at the longest until the look is over, if one was noted at this look; tell its reply."""
        place = self._waiting if self._read <= self._room else self._too_many
        place.append((request, tell))
        if len(self._waiting) >= TOGETHER or not self._reading:
            self.flush()

    def flush(self) -> None:
        """Answer what waits, in the order in which it was read: before anything else is answered or closed."""
        if waiting := self._waiting:
            self._waiting = []
            replies = self._answer([request for request, _ in waiting])
            for (_, tell), reply in zip(waiting, replies, strict=True):
                tell(reply)
        if too_many := self._too_many:  # which were read after those
            self._too_many = []
            reply = self._refuse([request for request, _ in too_many])
            for _, tell in too_many:
                tell(reply)

    def _over(self) -> None:
        self.flush()
        self._reading, self._done = False, time.perf_counter()
