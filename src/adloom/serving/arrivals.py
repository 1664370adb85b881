"""
When requests arrived, and how many are in line: what one process can know of its own queue.

A process looks at its sockets, reads what came, answers it all, and looks again. What came while it answered has waited
since, at most since it last looked: that look is when such a request arrived, as far as anybody here can tell.
"""

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ARRIVED = "adloom.arrived"  # key of the scope: seconds, by time.perf_counter
ROOM = 64  # decisions answered between two looks at the sockets; more are sent away
AT_ONCE = 0.0002  # seconds; a look that finds something sooner found what had been waiting


class Line:
    """The requests that were read at one look at the sockets, and are answered before the next."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._reading = False
        self._read = self._answered = 0
        self._since = self._looked = self._done = time.perf_counter()

    def arrives(self) -> float:
        """Note a request that was read, and return when it arrived."""
        if not self._reading:
            now = time.perf_counter()
            self._since = self._looked if now - self._done < AT_ONCE else now
            self._looked, self._reading = now, True
            self._read = self._answered = 0
        self._read += 1
        return self._since

    def begins(self) -> bool:
        """Note that a request is being answered; return whether there is room for it."""
        self._reading = False
        self._answered += 1
        return self._answered <= self._room or not self._read

    def passes(self) -> None:
        """Note that a request of another kind is being answered."""
        self._reading = False

    def ends(self, now: float) -> None:
        """Note that it has been."""
        self._done = now

    @property
    def full(self) -> bool:
        """Whether whatever else is read at this look must be sent away."""
        return self._reading and self._read >= self._room


LINE = Line()  # of this process


class Noting(HttpToolsProtocol):
    """uvicorn's protocol; it notes in the scope when a request arrived."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope[ARRIVED] = LINE.arrives()  # type: ignore[literal-required]
