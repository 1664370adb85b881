"""Join decisions and feedback by id in bounded memory, partition by partition."""

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any

from adloom.decision_log.record import Decision, Feedback
from adloom.decision_log.user_records import UserRecords

PARTITIONS = 64
UNKNOWN_USER = bytes(16)
ROWS = {
    "decisions": Struct("16sQ16s"),  # decision_id, time, user
    "feedback": Struct("16sQ8s?"),  # decision_id, time, hash of the creative, whether it is a click
    "users": Struct(">16sQ?I"),  # user, time, whether it is a click, number of the arm: user_records.RECORD
}


class Outcomes:
    """Decisions and feedback: add all of them before reading results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clicks = 0  # by known users, one per creative of a decision; set by `feedback`

    def __enter__(self) -> "Outcomes":
        with ExitStack() as stack:
            self._files = {
                (kind, partition): stack.enter_context(self._path(kind, partition).open("wb"))
                for kind in ROWS
                for partition in range(PARTITIONS)
            }
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def add_decision(self, decision: Decision, arm: int = 0) -> None:
        """Add a decision, and the number of its arm."""
        user = bytes.fromhex(decision.user) if decision.user else UNKNOWN_USER
        self._add("decisions", bytes.fromhex(decision.decision_id), decision.time, user)
        if user != UNKNOWN_USER:
            self._add("users", user, decision.time, False, arm)

    def add_feedback(self, feedback: Feedback) -> None:
        """Add feedback."""
        creative = blake2b(feedback.creative_id.encode(), digest_size=8).digest()
        key = bytes.fromhex(feedback.decision_id)
        self._add("feedback", key, feedback.time, creative, feedback.kind == "click")

    def duplicates(self) -> Iterator[tuple[bytes, int]]:
        """Yield each repeated decision id with its count."""
        for partition in range(PARTITIONS):
            counts = Counter(row[0] for row in self._read("decisions", partition))
            yield from ((decision_id, count) for decision_id, count in counts.items() if count > 1)

    def feedback(self) -> Iterator[tuple[bytes, int | None]]:
        """Yield each feedback's decision id and delay (µs, None without a decision)."""
        for partition in range(PARTITIONS):
            decisions: dict[bytes, tuple[int, bytes]] = {}
            for decision_id, *decision in self._read("decisions", partition):
                decisions[decision_id] = min(decisions.get(decision_id, tuple(decision)), tuple(decision))
            clicked = set()
            for decision_id, time, creative, is_click in self._read("feedback", partition):
                decided, user = decisions.get(decision_id, (None, UNKNOWN_USER))
                yield decision_id, None if decided is None else time - decided
                if is_click and user != UNKNOWN_USER and (decision_id, creative) not in clicked:
                    clicked.add((decision_id, creative))
                    self.clicks += 1
                    self._add("users", user, time, True, 0)

    def users(self) -> Iterator[UserRecords]:
        """Yield the decisions and clicks of known users; call `feedback` first."""
        for partition in range(PARTITIONS):
            yield UserRecords.unpack(self._read_bytes("users", partition))

    def _add(self, kind: str, key: bytes, *values: Any) -> None:
        self._files[kind, zlib.crc32(key) % PARTITIONS].write(ROWS[kind].pack(key, *values))

    def _read(self, kind: str, partition: int) -> Iterator[tuple[Any, ...]]:
        yield from ROWS[kind].iter_unpack(self._read_bytes(kind, partition))

    def _read_bytes(self, kind: str, partition: int) -> bytes:
        self._files[kind, partition].flush()
        return self._path(kind, partition).read_bytes()

    def _path(self, kind: str, partition: int) -> Path:
        return self._folder / f"{kind}-{partition}"
