"""Count the decisions and outcomes of an experiment's arms, from segments that are read once each."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.decision_log import reading
from adloom.decision_log.reading import SegmentRef
from adloom.decision_log.record import Decision, Feedback, Line
from adloom.decision_log.segment_file import format_day
from adloom.errors import DataError
from adloom.experiments.counts import FAILURES, GUARDRAILS, OUTCOMES, UserCounts
from adloom.experiments.definition import Experiment
from adloom.storage.base import Store

SLOW = 20_000  # µs from arrival to answer; slower decisions count as slow
DAY = 86_400_000_000  # µs
COLUMNS = ("arm", "user", "decisions", *GUARDRAILS, "matured", "goal")


@dataclass
class _Pending:
    """A decision that is younger than the maturity."""

    row: int
    time: int
    outcomes: set[str]


class ArmCounter:
    """Counts of one experiment in one log."""

    def __init__(self, experiment: Experiment, log: str, project: str, store: Store) -> None:
        self.experiment, self._root, self._store = experiment, f"{log.rstrip('/')}/{project}", store
        self._arms = {arm.name: i for i, arm in enumerate(experiment.arms)}
        self._mark = f'"experiment":"{experiment.name}"'.encode()
        self._table = array("q")
        self._rows: dict[tuple[int, int], int] = {}  # user and arm: the offset in the table
        self._users: dict[str, int] = {}
        self._pending: dict[str, _Pending] = {}  # by decision
        self._feedback: list[Feedback] = []  # without their decisions yet
        self._read: set[str] = set()  # segments
        self._latest = experiment.started

    def update(self, at: int) -> UserCounts:
        """Read new segments up to a time in µs, and return all counts."""
        for segment in self._find_segments(at):
            key = segment.sha256 or segment.uri
            if key not in self._read:
                for record in segment.read_records(self._store, self._mark, b'"type":"feedback"'):
                    self._add(record)
                self._read.add(key)  # now, so that a segment is read again if the store failed
        self._match_feedback()
        self._count_matured()
        table = np.array(self._table, np.int64).reshape(-1, len(COLUMNS))
        columns = dict(zip(COLUMNS, table.T, strict=True))
        events = {name: columns[name] for name in GUARDRAILS}
        return UserCounts(
            columns["arm"], columns["user"], columns["decisions"], events, columns["matured"], columns["goal"]
        )

    def _find_segments(self, at: int) -> Sequence[SegmentRef]:
        segments: list[SegmentRef] = []
        for day in range(self.experiment.started // DAY, at // DAY + 1):
            try:
                segments += reading.find_segments([f"{self._root}/{format_day(day * DAY)}"], self._store)
            except DataError:  # no segment is finished yet
                continue
        return segments

    def _add(self, record: Line) -> None:
        if isinstance(record, Decision) and record.experiment == self.experiment.name:
            self._add_decision(record)
        elif isinstance(record, Feedback) and record.time >= self.experiment.started:
            self._feedback.append(record)

    def _add_decision(self, decision: Decision) -> None:
        arm = self._arms.get(decision.arm or "")
        if arm is None or decision.time < self.experiment.started or decision.decision_id in self._pending:
            return
        user = -1 if decision.user is None else self._users.setdefault(decision.user, len(self._users))
        row = self._rows.get((user, arm))
        if row is None:
            row = self._rows[user, arm] = len(self._table)
            self._table.extend([arm, user, *[0] * (len(COLUMNS) - 2)])
        self._count(row, "decisions")
        for name, failed in zip(FAILURES, (decision.tier == "default", decision.elapsed_us > SLOW), strict=True):
            if failed:
                self._count(row, name)
        self._latest = max(self._latest, decision.time)
        self._pending[decision.decision_id] = _Pending(row, decision.time, set())

    def _match_feedback(self) -> None:
        """Count the first outcome of each kind per decision; wait for decisions in segments that come later."""
        waiting = []
        for feedback in self._feedback:
            decision = self._pending.get(feedback.decision_id)
            if decision is None:
                waiting.append(feedback)
                continue
            is_in_time = feedback.time <= decision.time + self._maturity
            if is_in_time and feedback.kind in OUTCOMES and feedback.kind not in decision.outcomes:
                decision.outcomes.add(feedback.kind)
                self._count(decision.row, feedback.kind)
        oldest = self._latest - self._maturity
        self._feedback = [feedback for feedback in waiting if feedback.time >= oldest]

    def _count_matured(self) -> None:
        limit = self._latest - self._maturity
        matured = [key for key, decision in self._pending.items() if decision.time <= limit]
        for decision in map(self._pending.pop, matured):
            self._count(decision.row, "matured")
            if self.experiment.goal in decision.outcomes:
                self._count(decision.row, "goal")

    @property
    def _maturity(self) -> int:
        return self.experiment.maturity_seconds * 1_000_000

    def _count(self, row: int, column: str) -> None:
        self._table[row + COLUMNS.index(column)] += 1
