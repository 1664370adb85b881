"""
The line: when requests arrived, how many wait, and the answers on their way. It is what one process can know of its own
queue.

A process looks at its sockets, answers what it reads, and looks again. What it reads came after the look before: if
this look found it at once, it may have waited since then, and that is taken for its arrival.

Answers leave together. To send one wakes its reader, after which a processor has to learn the code anew, on a virtual
machine above all: between two answers that leave at once the second takes twice as long to make.
"""

import time
from asyncio import Transport
from collections.abc import Callable

ROOM = 64  # requests answered of those that one look finds; more are sent away
TOGETHER = 16  # answers that leave at once: the first of them has waited for the others
AT_ONCE = 0.0002  # seconds between the last answer and a look's first find, up to which it was there already


class Line:
    """The requests that are read at one look at the sockets."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._reading = False
        self._read = 0
        self._answers: list[tuple[Transport, bytes]] = []
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

    @property
    def full(self) -> bool:
        """Whether the request that was read last is to be sent away."""
        return self._read > self._room

    def answered(self, now: float) -> None:
        """Note an answer."""
        self._done = now

    def send(self, transport: Transport, answer: bytes) -> None:
        """Send an answer: at the latest when the look is over, if a request was noted at this look."""
        self._answers.append((transport, answer))
        if len(self._answers) >= TOGETHER or not self._reading:
            self.flush()

    def flush(self) -> None:
        """Send the answers that wait: before anything else is sent or closed."""
        answers, self._answers = self._answers, []
        for transport, answer in answers:
            if not transport.is_closing():
                transport.write(answer)

    def _over(self) -> None:
        self.flush()
        self._reading, self._done = False, time.perf_counter()
