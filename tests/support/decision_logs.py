"""Records as a service logs them, hand-written logs, and readers for assertions."""

import gzip
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adloom.decision_log import reading, segment_file
from adloom.decision_log.record import Decision, End, Feedback, Header, Line, decode, encode
from adloom.decision_log.verify import VerificationReport, verify
from adloom.decision_log.writer import Limits
from adloom.storage.local import FolderStore

NOON = 1_790_000_000_000_000  # µs: 2026-09-21, 14:13:20 UTC
PROCESS = "c" * 32
WAIT_SECONDS = 60  # seconds to wait for another thread or process


def decision(number: int = 0, **changes: Any) -> Decision:
    """Return a decision: candidates of probability 0.5, 0.3, 0.2; shown are the second, then the first."""
    values = {
        "time": NOON + number * 1_000_000,
        "decision_id": f"{number:032x}",
        "project": "shop",
        "user": "a" * 32,
        "user_key": "b" * 16,
        "segment": "loyal",
        "placement": "home",
        "context": {"device": "phone"},
        "candidates": ["hat", "bag", "shoe"],
        "probabilities": [0.5, 0.3, 0.2],
        "chosen": ["bag", "hat"],
        "propensities": [0.3, 0.5 / 0.7],
        "policy": "d" * 64,
        "policy_version": 3,
        "audience": "e" * 64,
        "audience_version": None,
        "tier": "model",
        "elapsed_us": 450,
    }
    return Decision(**{**values, **changes})


def draw_decision(number: int) -> Decision:
    """Return a decision whose first creative is, over ten numbers, as frequent as its probability says."""
    first = ["hat"] * 5 + ["bag"] * 3 + ["shoe"] * 2
    shares = {"hat": 0.5, "bag": 0.3, "shoe": 0.2}
    top = first[number % 10]
    below = "bag" if top == "hat" else "hat"
    return decision(number, chosen=[top, below], propensities=[shares[top], shares[below] / (1 - shares[top])])


def click(number: int = 0, **changes: Any) -> Feedback:
    """Return a click on the bag, one second after the decision of this number."""
    values = {"time": NOON + number * 1_000_000 + 1_000_000, "decision_id": f"{number:032x}", "creative_id": "bag"}
    return Feedback(**{**values, "kind": "click", **changes})


def frame_segment(records: Sequence[Line], process: str = PROCESS, number: int = 0, before: int = 0) -> list[Line]:
    """Return a segment's lines: header, records, end."""
    at = records[0].time if records else NOON
    count = before + sum(isinstance(record, Decision | Feedback) for record in records)
    header = Header(time=at, project="shop", process=process, number=number, records=before)
    return [header, *records, End(time=at, records=count, last=True)]


def write_segment(root: Path, lines: Iterable[Line | bytes], day: str = "2026-09-21") -> Path:
    """Write a finished segment and return its path; bytes are written unchanged."""
    text = b"".join(line if isinstance(line, bytes) else encode(line) + b"\n" for line in lines)
    packed = gzip.compress(text, mtime=0)
    path = root / "shop" / day / f"{hashlib.sha256(packed).hexdigest()}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return path


def read_log(root: Path) -> list[Line]:
    """Return all lines of a log's finished segments, in order of writing."""
    texts = [
        [line for _, line in segment_file.read_lines(Path(result.uri))]
        for result in reading.find_segments([str(root)], FolderStore())
    ]
    opened = sorted(([decode(line) for line in lines] for lines in texts), key=_opening_order)
    return [line for lines in opened for line in lines]


def _opening_order(lines: Sequence[Line]) -> tuple[int, str, int]:
    header = lines[0]
    assert isinstance(header, Header)
    return header.time, header.process, header.number


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)  # between two checks


HOUR = 3600.0


LIMITS = Limits(flush=HOUR, buffer=1 << 24, segment=1 << 24, rotation=HOUR, disk=1 << 30)  # only `close` writes


BRISK = replace(LIMITS, flush=0.005)


def select_records(lines: list[Line]) -> list[Line]:
    return [line for line in lines if isinstance(line, Decision | Feedback)]


def line_types(lines: list[Line]) -> list[str]:
    return [type(line).__name__ for line in lines]


LATER = NOON + 3_600_000_000


OTHER = "f" * 32


def verify_log(root: Path) -> VerificationReport:
    return verify([str(root)], FolderStore(), at=LATER)
