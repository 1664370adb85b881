"""
Whether a log can be learned from: what is wrong with single records, with processes, and between records.

Ids are compared in files of their own, a share of them at a time, so that a log of any size is verified in memory that
grows with a 64th of its ids.
"""

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from adloom.decision_log import reading
from adloom.decision_log.outcomes import Outcomes
from adloom.decision_log.reading import DamagedError, SegmentRef
from adloom.decision_log.record import Decision, End, Feedback, Gap, Header, decode, now
from adloom.storage import manifest
from adloom.storage.base import Store

CHECKS = {  # name: what is wrong when it counts something
    "name": "a segment's name is not the sha256 of its bytes",
    "damaged": "a segment cannot be read to its end",
    "torn": "the last line of a segment has no end",
    "line": "not a line of a log",
    "frame": "a segment without its header first, or without its end last",
    "lengths": "not one probability a candidate and one propensity a slot",
    "sum": "probabilities do not sum to 1",
    "chosen": "a chosen creative is no candidate, or stands in two slots",
    "support": "a probability below 0, or not above 0 for what was chosen",
    "propensity": "a propensity is not the slot's probability given the slots above",
    "user": "a user without the fingerprint of the key",
    "duplicate": "a decision_id that another decision has",
    "feedback": "feedback for a decision that is not in the log",
    "early": "feedback that is earlier than its decision",
    "one_user": "clicks of a user who made half of all clicks or more",
    "backwards": "the clock of a process went back",
    "future": "a time later than now",
    "missing": "records that a process wrote and that are not here",
    "gap": "records that were dropped or lost, as the log itself says",
}
TOLERANCE = 1e-9
ROUNDING = 1e-14  # of a sum of probabilities, however it was formed
CLOCK_SKEW = 10_000_000  # µs by which clocks may differ, and one clock go back
MAX_EXAMPLES = 3
MIN_CLICKS = 100  # below so many, half of them may well be one user's


@dataclass(frozen=True)
class SegmentSummary:
    """What a segment says of its process."""

    name: str
    number: int
    before: int  # records of the process before it
    after: int  # and up to its end, or as far as it can be read
    first: int  # time of its first record, µs
    latest: int  # the latest time in it, µs


@dataclass
class VerificationReport:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)  # by check
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # the first of each check
    segments: int = 0
    decisions: int = 0
    feedback: int = 0
    gaps: Counter[str] = field(default_factory=Counter)  # records by reason
    parts: dict[str, list[SegmentSummary]] = field(default_factory=lambda: defaultdict(list))  # by process
    last: set[str] = field(default_factory=set)  # processes that said their log ends

    def add(self, check: str, where: str, count: int = 1) -> None:
        """Count something that is wrong."""
        self.counts[check] += count
        if len(self.examples[check]) < MAX_EXAMPLES:
            self.examples[check].append(where)

    @property
    def wrong(self) -> int:
        """How much is wrong in all."""
        return self.counts.total()

    def summary(self) -> Mapping[str, object]:
        """Return what a program reads."""
        return {
            "segments": self.segments,
            "processes": len(self.parts),
            "processes_without_end": len(self.parts.keys() - self.last),  # they run, or are not yet recovered
            "decisions": self.decisions,
            "feedback": self.feedback,
            "gaps": dict(self.gaps),
            "checks": {name: {"count": self.counts[name], "examples": self.examples.get(name, [])} for name in CHECKS},
        }


def verify(logs: Sequence[str], store: Store, at: int | None = None) -> VerificationReport:
    """Check the segments below some uris, at a time in µs (now). Raises DataError when there are none."""
    found, findings = reading.find_segments(logs, store), VerificationReport()
    with tempfile.TemporaryDirectory(prefix="adloom-verify-") as scratch, Outcomes(Path(scratch)) as outcomes:
        for segment in found:
            _SegmentCheck(segment, findings, outcomes, at or now()).check(store)
        _check_outcomes(outcomes, findings)
    for process, parts in findings.parts.items():
        _check_process(process, sorted(parts, key=lambda part: part.number), findings)
    return findings


def _check_outcomes(outcomes: Outcomes, findings: VerificationReport) -> None:
    """Compare decisions with each other, and feedback with its decisions."""
    for decision_id, count in outcomes.duplicates():
        findings.add("duplicate", f"{decision_id.hex()}: {count} decisions", count - 1)
    for decision_id, lag in outcomes.feedback():
        if lag is None:
            findings.add("feedback", f"decision {decision_id.hex()}")
        elif lag < -CLOCK_SKEW:
            findings.add("early", f"decision {decision_id.hex()}: {-lag / 1e6:.0f} s")
    user, clicks = outcomes.most_clicks()
    if outcomes.clicks >= MIN_CLICKS and clicks * 2 >= outcomes.clicks:
        findings.add("one_user", f"user {user.hex()}: {clicks} of {outcomes.clicks} clicks", clicks)


class _SegmentCheck:
    """One segment while it is checked."""

    def __init__(self, found: SegmentRef, findings: VerificationReport, outcomes: Outcomes, at: int) -> None:
        self._found, self._findings, self._outcomes, self._at = found, findings, outcomes, at
        self._header: Header | None = None
        self._end: End | None = None
        self._count = 0  # decisions and feedback
        self._first = self._latest = 0

    def check(self, store: Store) -> None:
        self._findings.segments += 1
        try:
            with self._found.here(store) as path:
                for number, line in self._found.lines(path):
                    self._line(number, line)
                if self._found.sha256 and manifest.sha256(path) != self._found.sha256:
                    self._wrong("name", 0)
        except DamagedError as error:
            self._findings.add("damaged", str(error))
        if self._header is None or self._end is None:
            self._wrong("frame", 0)
        if self._header:
            self._tell(self._header)

    def _wrong(self, check: str, number: int, what: str = "") -> None:
        where = f"{self._found.name}:{number}" if number else self._found.name
        self._findings.add(check, f"{where}: {what}" if what else where)

    def _line(self, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return self._wrong("torn", number)
        try:
            found = decode(line)
        except ValueError as error:
            self._count += 1  # it was one when it was written
            return self._wrong("line", number, str(error))
        if isinstance(found, Header) != (number == 1) or self._end:
            self._wrong("frame", number)
        if isinstance(found, Header):
            self._header = self._header or found
        elif isinstance(found, End):
            self._end = found
        elif isinstance(found, Gap):
            self._findings.gaps[found.reason] += found.records
            self._findings.add("gap", f"{self._found.name}:{number}: {found.records}, {found.reason}", found.records)
        else:
            self._record(number, found)
        return None

    def _record(self, number: int, record: Decision | Feedback) -> None:
        self._count += 1
        if record.time > self._at + CLOCK_SKEW:
            self._wrong("future", number, f"{(record.time - self._at) / 1e6:.0f} s")
        if record.time < self._latest - CLOCK_SKEW:
            self._wrong("backwards", number, f"{(self._latest - record.time) / 1e6:.0f} s")
        self._first, self._latest = self._first or record.time, max(self._latest, record.time)
        if isinstance(record, Feedback):
            self._outcomes.add_feedback(record)
            self._findings.feedback += 1
            return
        self._outcomes.add_decision(record)
        self._findings.decisions += 1
        for check, what in check_decision(record):
            self._wrong(check, number, f"{record.decision_id}: {what}")

    def _tell(self, header: Header) -> None:
        read = header.records + self._count
        after = self._end.records if self._end else read
        if missing := after - read:
            self._findings.add("missing", f"{self._found.name}: {missing} records", abs(missing))
        if self._end and self._end.last:
            self._findings.last.add(header.process)
        self._findings.parts[header.process].append(
            SegmentSummary(self._found.name, header.number, header.records, after, self._first, self._latest)
        )


def _check_process(process: str, parts: Sequence[SegmentSummary], findings: VerificationReport) -> None:
    """Compare the segments of a process, in their order; those before the first one here are no concern."""
    latest = parts[0].latest
    for before, part in pairwise(parts):
        missing = part.before - before.after
        if part.number != before.number + 1 or missing:
            where = f"process {process}: {missing} records before segment {part.number}, after {before.number}"
            findings.add("missing", where, max(abs(missing), 1))
        if part.first and part.first < latest - CLOCK_SKEW:
            findings.add("backwards", f"{part.name}: {(latest - part.first) / 1e6:.0f} s")
        latest = max(latest, part.latest)


def check_decision(decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield (check, what) for everything that is wrong with a decision by itself."""
    if (decision.user is None) != (decision.user_key is None):
        yield "user", "one of user and user_key alone"
    given = f"{len(decision.candidates)} candidates, {len(decision.probabilities)} probabilities"
    if len(decision.probabilities) != len(decision.candidates) or len(decision.propensities) != len(decision.chosen):
        yield "lengths", f"{given}, {len(decision.chosen)} chosen, {len(decision.propensities)} propensities"
        return
    total = math.fsum(decision.probabilities)
    if decision.candidates and not abs(total - 1) <= TOLERANCE:
        yield "sum", f"{total!r}"
    if lowest := [p for p in decision.probabilities if not p >= 0]:
        yield "support", f"a probability of {lowest[0]!r}"
    yield from _check_slate(decision)


def _check_slate(decision: Decision) -> Iterator[tuple[str, str]]:
    left = dict(zip(decision.candidates, decision.probabilities, strict=True))
    if len(left) < len(decision.candidates):
        yield "chosen", "a candidate stands there twice"
        return
    above: list[float] = []
    for slot, (creative, propensity) in enumerate(zip(decision.chosen, decision.propensities, strict=True), 1):
        probability = left.pop(creative, None)
        if probability is None:
            yield "chosen", f"slot {slot}: {creative}"
            return
        if not (probability > 0 and propensity > 0):
            yield "support", f"slot {slot}: {creative} with probability {probability!r}, propensity {propensity!r}"
            return
        remaining = max(1 - math.fsum(above), probability)  # less only by rounding, or where the sum is wrong
        if abs(propensity - probability / remaining) > TOLERANCE + ROUNDING / remaining:
            yield "propensity", f"slot {slot}: {propensity!r}, expected {probability / remaining!r}"
        above.append(probability)
