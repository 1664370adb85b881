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

PARTITIONS = 64
UNKNOWN_USER = bytes(16)
ROWS = {
    "decisions": Struct("16sQ16s"),  # decision_id, time, user
    "feedback": Struct("16sQ8s?"),  # decision_id, time, hash of the creative, whether it is a click
    "clicks": Struct("16s"),  # user
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

    def add_decision(self, decision: Decision) -> None:
        """Add a decision."""
        user = bytes.fromhex(decision.user) if decision.user else UNKNOWN_USER
        self._add("decisions", bytes.fromhex(decision.decision_id), decision.time, user)

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
                    self._add("clicks", user)

    def most_clicks(self) -> tuple[bytes, int]:
        """Return the user with the most clicks; call `feedback` first."""
        most = [
            Counter(row[0] for row in self._read("clicks", partition)).most_common(1) for partition in range(PARTITIONS)
        ]
        return max((top for tops in most for top in tops), key=lambda top: top[1], default=(UNKNOWN_USER, 0))

    def _add(self, kind: str, key: bytes, *values: Any) -> None:
        self._files[kind, zlib.crc32(key) % PARTITIONS].write(ROWS[kind].pack(key, *values))

    def _read(self, kind: str, partition: int) -> Iterator[tuple[Any, ...]]:
        self._files[kind, partition].flush()
        yield from ROWS[kind].iter_unpack(self._path(kind, partition).read_bytes())

    def _path(self, kind: str, partition: int) -> Path:
        return self._folder / f"{kind}-{partition}"
