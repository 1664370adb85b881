"""Records in memory that wait to be written."""

import time
from collections import deque
from threading import Lock

from adloom.decision_log.counters import ProcessCounters


class Buffer:
    """
    Accepted, unwritten lines.

    Any thread adds lines; one thread removes them after writing.
    """

    def __init__(self, capacity: int, counters: ProcessCounters) -> None:
        self.bytes = 0  # newlines included
        self.accepted = 0  # records since the process started
        self._capacity, self._counters = capacity, counters
        self._oldest_at = self._gathered_at = 0.0  # arrival of the oldest line; time of the last gather
        self._new: list[bytes] = []
        self._blocks: deque[list[bytes] | bytes] = deque()  # never joined into one: that would block other threads
        self._lock = Lock()

    def put(self, line: bytes) -> bool:
        """Add a line; return False if the buffer is full."""
        size = len(line) + 1
        with self._lock:
            if self.bytes + size > self._capacity:
                return False
            if not self.bytes:
                self._oldest_at = time.monotonic()
            self._new.append(line)
            self.bytes += size
            self.accepted += 1
            self._counters.accepted = self.accepted
            return True

    def close(self) -> None:
        """Reject all further lines."""
        with self._lock:
            self._capacity = -1

    def age(self) -> float:
        """Return the oldest line's age in seconds, or 0."""
        with self._lock:
            return time.monotonic() - self._oldest_at if self.bytes else 0.0

    def gather(self) -> None:
        """Include the lines received so far in the next writes."""
        with self._lock:
            self._gathered_at = time.monotonic()
            if self._new:
                self._blocks.append(self._new)
                self._new = []

    def peek(self) -> bytes:
        """Return the oldest gathered lines, or b""."""
        if not self._blocks:
            return b""
        block = self._blocks[0]
        if isinstance(block, list):
            block = self._blocks[0] = b"\n".join([*block, b""])
        return block

    def remove(self, size: int) -> None:
        """Remove the first bytes of `peek` after they were written."""
        rest = self.peek()[size:]
        with self._lock:
            if rest:
                self._blocks[0] = rest
            else:
                self._blocks.popleft()
            self.bytes -= size
            self._oldest_at = self._gathered_at
