"""Records that wait in memory until they are written."""

import time
from collections import deque
from threading import Lock

from adloom.decision_log.counters import ProcessCounters


class Buffer:
    """
    Lines that were taken and are not written yet, and how many bytes they are.

    The count changes only where lines come in and where they go out, together with the lines: a write that fails
    halfway leaves both as they were. Any thread puts lines in; one thread takes them out.
    """

    def __init__(self, room: int, tally: ProcessCounters) -> None:
        self.bytes = 0  # newlines included
        self.taken = 0  # records, since the process began
        self._room, self._tally = room, tally
        self._since = self._gathered = 0.0  # when the oldest line came, and the latest that may be written
        self._new: list[bytes] = []
        self._blocks: deque[list[bytes] | bytes] = deque()  # never joined with each other: that would hold others up
        self._lock = Lock()

    def put(self, line: bytes) -> bool:
        """Take a line; return False when there is no room for it."""
        size = len(line) + 1
        with self._lock:
            if self.bytes + size > self._room:
                return False
            if not self.bytes:
                self._since = time.monotonic()
            self._new.append(line)
            self.bytes += size
            self.taken += 1
            self._tally.accepted = self.taken
            return True

    def close(self) -> None:
        """Take no more lines."""
        with self._lock:
            self._room = -1

    def age(self) -> float:
        """Return the seconds that the oldest line waits, 0 without one."""
        with self._lock:
            return time.monotonic() - self._since if self.bytes else 0.0

    def gather(self) -> None:
        """Let what came since the last time be written next."""
        with self._lock:
            self._gathered = time.monotonic()
            if self._new:
                self._blocks.append(self._new)
                self._new = []

    def head(self) -> bytes:
        """Return the oldest gathered lines, whole and with their newlines, b"" when there are none."""
        if not self._blocks:
            return b""
        block = self._blocks[0]
        if isinstance(block, list):
            block = self._blocks[0] = b"\n".join([*block, b""])
        return block

    def take_out(self, size: int) -> None:
        """Remove the first bytes of `head`, which are written."""
        rest = self.head()[size:]
        with self._lock:
            if rest:
                self._blocks[0] = rest
            else:
                self._blocks.popleft()
            self.bytes -= size
            self._since = self._gathered
