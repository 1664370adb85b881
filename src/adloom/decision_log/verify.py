"""Verify records, processes and the links between records."""

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from adloom.data.context import CLOCK_SKEW
from adloom.decision_log import reading
from adloom.decision_log.arms import ArmUsers
from adloom.decision_log.outcomes import Outcomes
from adloom.decision_log.reading import DamagedError, SegmentRef
from adloom.decision_log.record import Decision, End, Feedback, Gap, Header, Recommendation, Record, decode, now
from adloom.decision_log.sample_ratio import ALPHA, CreativeCounter, SampleRatio
from adloom.storage import manifest
from adloom.storage.base import Store

CHECKS = {  # name: the problem that it counts
    "name": "a segment's name is not the sha256 of its bytes",
    "damaged": "a segment cannot be read to its end",
    "torn": "the last line of a segment is incomplete",
    "line": "a line is not a valid log line",
    "frame": "a segment does not start with its header or end with its end line",
    "lengths": "the number of probabilities or propensities is wrong",
    "sum": "probabilities do not sum to 1",
    "chosen": "a chosen creative is not a candidate, or fills two slots",
    "support": "a negative probability, or a chosen creative without a positive one",
    "propensity": "a propensity differs from the slot's conditional probability",
    "user": "a user without the fingerprint of the key",
    "duplicate": "a decision_id occurs more than once",
    "feedback": "feedback without its decision in the log",
    "early": "feedback earlier than its decision",
    "one_user": "clicks of one user with at least half of all clicks",
    "burst": "a user with more decisions or clicks within a minute than a person makes",
    "crossover": "a user in several arms of an experiment",
    "sample_ratio": "a creative or an arm that is not as frequent as its probability says",
    "backwards": "the clock of a process went back",
    "future": "a time in the future",
    "missing": "records that a process wrote but that are absent",
    "gap": "records that the log itself reports as dropped or lost",
}
TOLERANCE = 1e-9
ROUNDING = 1e-14  # of a sum of probabilities
MAX_EXAMPLES = 3
MIN_CLICKS = 100  # with fewer clicks, one user may well have half of them
MAX_PER_MINUTE = {"decisions": 120, "clicks": 20}  # of one user


@dataclass(frozen=True)
class SegmentSummary:
    """A segment's range of records and times."""

    name: str
    number: int
    before: int  # records of the process before the segment
    after: int  # records up to its end, or its last readable line
    first: int  # time of the first record, µs
    latest: int  # latest time, µs


@dataclass
class VerificationReport:
    """The issues and counts of a log."""

    counts: Counter[str] = field(default_factory=Counter)  # by check
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # the first ones, by check
    segments: int = 0
    decisions: int = 0
    feedback: int = 0
    recommendations: int = 0
    gaps: Counter[str] = field(default_factory=Counter)  # records by reason
    summaries: dict[str, list[SegmentSummary]] = field(default_factory=lambda: defaultdict(list))  # by process
    ended: set[str] = field(default_factory=set)  # processes that ended their log

    def add_issue(self, check: str, where: str, count: int = 1) -> None:
        """Count an issue."""
        self.counts[check] += count
        if len(self.examples[check]) < MAX_EXAMPLES:
            self.examples[check].append(where)

    @property
    def issue_count(self) -> int:
        """The number of all issues."""
        return self.counts.total()

    def summary(self) -> Mapping[str, object]:
        """Return the JSON form."""
        return {
            "segments": self.segments,
            "processes": len(self.summaries),
            "processes_without_end": len(self.summaries.keys() - self.ended),  # running, or not yet recovered
            "decisions": self.decisions,
            "feedback": self.feedback,
            "recommendations": self.recommendations,
            "gaps": dict(self.gaps),
            "checks": {name: {"count": self.counts[name], "examples": self.examples.get(name, [])} for name in CHECKS},
        }


def verify(logs: Sequence[str], store: Store, at: int | None = None) -> VerificationReport:
    """Verify some logs at a time in µs (default: now). Raises DataError without segments."""
    segments, report = reading.find_segments(logs, store), VerificationReport()
    creatives, arms = CreativeCounter(), ArmUsers()
    with tempfile.TemporaryDirectory(prefix="adloom-verify-") as scratch, Outcomes(Path(scratch)) as outcomes:
        for segment in segments:
            _SegmentCheck(segment, report, outcomes, creatives, arms, at or now()).check(store)
        _check_outcomes(outcomes, report)
        _check_users(outcomes, arms, report)
    for name, result in [("all decisions", creatives.compare()), *arms.compare()]:
        _check_sample_ratio(name, result, report)
    for process, summaries in report.summaries.items():
        _check_process(process, sorted(summaries, key=lambda summary: summary.number), report)
    return report


def _check_outcomes(outcomes: Outcomes, report: VerificationReport) -> None:
    """Check ids across decisions and feedback."""
    for decision_id, count in outcomes.duplicates():
        report.add_issue("duplicate", f"{decision_id.hex()}: {count} decisions", count - 1)
    for decision_id, lag in outcomes.feedback():
        if lag is None:
            report.add_issue("feedback", f"decision {decision_id.hex()}")
        elif lag < -CLOCK_SKEW:
            report.add_issue("early", f"decision {decision_id.hex()}: {-lag / 1e6:.0f} s")


def _check_users(outcomes: Outcomes, arms: ArmUsers, report: VerificationReport) -> None:
    """Check what each user does."""
    for users in outcomes.users():
        clicks = users.count_clicks()
        for user in np.flatnonzero((clicks * 2 >= outcomes.clicks) & (outcomes.clicks >= MIN_CLICKS)).tolist():
            where = f"user {users.format_name(user)}: {clicks[user]} of {outcomes.clicks} clicks"
            report.add_issue("one_user", where, int(clicks[user]))
        for kind, limit in MAX_PER_MINUTE.items():
            for name, most in users.find_bursts(kind == "clicks", limit):
                report.add_issue("burst", f"user {name}: {most} {kind} within a minute")
        for where in arms.add_users(users):
            report.add_issue("crossover", where)


def _check_sample_ratio(name: str, result: SampleRatio, report: VerificationReport) -> None:
    if result.p_value >= ALPHA:
        return
    for mismatch in result.mismatches:
        where = f"{mismatch.name}: {mismatch.chosen} chosen, {mismatch.expected:.1f} expected"
        report.add_issue("sample_ratio", f"{name}: {where} (p = {result.p_value:.1g})")


class _SegmentCheck:
    """The verification of one segment."""

    def __init__(
        self,
        segment: SegmentRef,
        report: VerificationReport,
        outcomes: Outcomes,
        creatives: CreativeCounter,
        arms: ArmUsers,
        at: int,
    ) -> None:
        self._segment, self._report, self._outcomes, self._at = segment, report, outcomes, at
        self._creatives, self._arms = creatives, arms
        self._header: Header | None = None
        self._end: End | None = None
        self._count = 0  # decisions and feedback
        self._first = self._latest = 0

    def check(self, store: Store) -> None:
        self._report.segments += 1
        try:
            with self._segment.local_copy(store) as path:
                for number, line in self._segment.read_lines(path):
                    self._check_line(number, line)
                if self._segment.sha256 and manifest.sha256(path) != self._segment.sha256:
                    self._add_issue("name", 0)
        except DamagedError as error:
            self._report.add_issue("damaged", str(error))
        if self._header is None or self._end is None:
            self._add_issue("frame", 0)
        if self._header:
            self._summarize(self._header)

    def _add_issue(self, check: str, number: int, detail: str = "") -> None:
        where = f"{self._segment.name}:{number}" if number else self._segment.name
        self._report.add_issue(check, f"{where}: {detail}" if detail else where)

    def _check_line(self, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return self._add_issue("torn", number)
        try:
            record = decode(line)
        except ValueError as error:
            self._count += 1  # count it: it was valid when it was written
            return self._add_issue("line", number, str(error))
        if isinstance(record, Header) != (number == 1) or self._end:
            self._add_issue("frame", number)
        if isinstance(record, Header):
            self._header = self._header or record
        elif isinstance(record, End):
            self._end = record
        elif isinstance(record, Gap):
            self._report.gaps[record.reason] += record.records
            self._report.add_issue(
                "gap", f"{self._segment.name}:{number}: {record.records}, {record.reason}", record.records
            )
        else:
            self._check_record(number, record)
        return None

    def _check_record(self, number: int, record: Record) -> None:
        self._count += 1
        if record.time > self._at + CLOCK_SKEW:
            self._add_issue("future", number, f"{(record.time - self._at) / 1e6:.0f} s")
        if record.time < self._latest - CLOCK_SKEW:
            self._add_issue("backwards", number, f"{(self._latest - record.time) / 1e6:.0f} s")
        self._first, self._latest = self._first or record.time, max(self._latest, record.time)
        if isinstance(record, Feedback):
            self._outcomes.add_feedback(record)
            self._report.feedback += 1
            return
        if isinstance(record, Recommendation):
            self._report.recommendations += 1
            return
        self._outcomes.add_decision(record, self._arms.get_number(record))
        self._report.decisions += 1
        issues = list(check_decision(record))
        for check, detail in issues:
            self._add_issue(check, number, f"{record.decision_id}: {detail}")
        if record.chosen and not issues:
            self._creatives.add(record)

    def _summarize(self, header: Header) -> None:
        read = header.records + self._count
        after = self._end.records if self._end else read
        if missing := after - read:
            self._report.add_issue("missing", f"{self._segment.name}: {missing} records", abs(missing))
        if self._end and self._end.last:
            self._report.ended.add(header.process)
        self._report.summaries[header.process].append(
            SegmentSummary(self._segment.name, header.number, header.records, after, self._first, self._latest)
        )


def _check_process(process: str, summaries: Sequence[SegmentSummary], report: VerificationReport) -> None:
    """Check the sequence of a process's segments."""
    latest = summaries[0].latest
    for before, summary in pairwise(summaries):
        missing = summary.before - before.after
        if summary.number != before.number + 1 or missing:
            where = f"process {process}: {missing} records before segment {summary.number}, after {before.number}"
            report.add_issue("missing", where, max(abs(missing), 1))
        if summary.first and summary.first < latest - CLOCK_SKEW:
            report.add_issue("backwards", f"{summary.name}: {(latest - summary.first) / 1e6:.0f} s")
        latest = max(latest, summary.latest)


def check_decision(decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield (check, detail) for each issue within a decision."""
    if (decision.user is None) != (decision.user_key is None):
        yield "user", "user and user_key must occur together"
    if decision.arm and not (decision.probabilities or decision.chosen or decision.propensities):
        return  # an arm without ads draws nothing
    sizes = f"{len(decision.candidates)} candidates, {len(decision.probabilities)} probabilities"
    if len(decision.probabilities) != len(decision.candidates) or len(decision.propensities) != len(decision.chosen):
        yield "lengths", f"{sizes}, {len(decision.chosen)} chosen, {len(decision.propensities)} propensities"
        return
    total = math.fsum(decision.probabilities)
    if decision.candidates and not abs(total - 1) <= TOLERANCE:
        yield "sum", f"{total!r}"
    if lowest := [p for p in decision.probabilities if not p >= 0]:
        yield "support", f"a probability of {lowest[0]!r}"
    yield from _check_slate(decision)


def _check_slate(decision: Decision) -> Iterator[tuple[str, str]]:
    remaining_probabilities = dict(zip(decision.candidates, decision.probabilities, strict=True))
    if len(remaining_probabilities) < len(decision.candidates):
        yield "chosen", "a candidate occurs twice"
        return
    above: list[float] = []
    for slot, (creative, propensity) in enumerate(zip(decision.chosen, decision.propensities, strict=True), 1):
        probability = remaining_probabilities.pop(creative, None)
        if probability is None:
            yield "chosen", f"slot {slot}: {creative}"
            return
        if not (probability > 0 and propensity > 0):
            yield "support", f"slot {slot}: {creative} with probability {probability!r}, propensity {propensity!r}"
            return
        remaining = max(1 - math.fsum(above), probability)  # smaller only by rounding or with a wrong sum
        if abs(propensity - probability / remaining) > TOLERANCE + ROUNDING / remaining:
            yield "propensity", f"slot {slot}: {propensity!r}, expected {probability / remaining!r}"
        above.append(probability)
