"""
Count the decisions and outcomes of an experiment's arms, from segments that are read once each.

Counts by user and arm, and what later segments may still change, are arrays, which a file may keep for the next
process. A decision that waits for its outcomes takes 32 bytes, a user in an arm 72. Many segments are read in the
order of their times, so that only decisions younger than the maturity wait.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Int64Array
from adloom.decision_log import reading
from adloom.decision_log.reading import SegmentRef
from adloom.decision_log.record import Decision, Feedback
from adloom.decision_log.segment_file import format_day
from adloom.errors import ArtifactError, DataError
from adloom.experiments.counts import FAILURES, GUARDRAILS, OUTCOMES, UserCounts
from adloom.experiments.definition import Experiment
from adloom.storage import npz
from adloom.storage.base import Store
from adloom.storage.transfers import map_concurrently

SLOW = 20_000  # µs from arrival to answer; slower decisions count as slow
DAY = 86_400_000_000  # µs
COLUMNS = ("decisions", *GUARDRAILS, "matured", "goal")
ARM_BITS = 8
USER_DIGITS = 13  # of the pseudonym: two of a million users share these 52 bits once in 10,000 experiments
FIELDS = {"pending": ("id", "time", "key", "outcomes"), "feedback": ("id", "time", "kind")}
ANONYMOUS = 0
BATCH = 16  # segments that are counted together


@dataclass
class _NewRecords:
    """Columns of records that were read."""

    decisions: dict[str, "array[int]"] = field(
        default_factory=lambda: {name: array("q") for name in ("id", "time", "key", *FAILURES)}
    )
    feedback: dict[str, "array[int]"] = field(default_factory=lambda: {name: array("q") for name in FIELDS["feedback"]})

    def add(self, arm: int, decision: Decision) -> None:
        """Add a decision of an arm."""
        user = ANONYMOUS if decision.user is None else int(decision.user[-USER_DIGITS:], 16)
        row = _number(decision.decision_id), decision.time, user << ARM_BITS | arm
        values = (*row, decision.tier == "default", decision.elapsed_us > SLOW)
        for column, value in zip(self.decisions.values(), values, strict=True):
            column.append(value)

    def add_feedback(self, feedback: Feedback) -> None:
        """Add feedback of a kind that counts."""
        values = _number(feedback.decision_id), feedback.time, OUTCOMES.index(feedback.kind)
        for column, value in zip(self.feedback.values(), values, strict=True):
            column.append(value)


class ArmCounter:
    """Counts of one experiment in one log; `cache` is a file that keeps them."""

    def __init__(self, experiment: Experiment, log: str, project: str, store: Store, cache: Path | None = None) -> None:
        self.experiment, self._root, self._store = experiment, f"{log.rstrip('/')}/{project}", store
        self._arms = {arm.name: i for i, arm in enumerate(experiment.arms)}
        self._mark = f'"experiment":"{experiment.name}"'.encode()
        self._keys = np.zeros(0, np.int64)  # (rows,) ascending: user and arm
        self._counts = np.zeros((0, len(COLUMNS)), np.int64)
        self._pending = _empty("pending")  # decisions younger than the maturity
        self._feedback = _empty("feedback")  # without their decisions yet
        self._read: set[str] = set()  # segments
        self._latest = experiment.started
        self._cache = cache
        self._load()

    def update(self, at: int) -> UserCounts:
        """Read new segments up to a time in µs, and return all counts."""
        before = len(self._read)
        for day in range(self.experiment.started // DAY, at // DAY + 1):
            for segments, end in self._list_batches(day):
                self._read_batch(segments, end)
        if len(self._read) > before:
            self._save()
        user, counts = self._keys >> ARM_BITS, dict(zip(COLUMNS, self._counts.T, strict=True))
        number = np.unique(user[user != ANONYMOUS], return_inverse=True)[1]
        users = np.full(len(user), -1)
        users[user != ANONYMOUS] = number
        arm, events = self._keys & (2**ARM_BITS - 1), {name: counts[name] for name in GUARDRAILS}
        return UserCounts(arm, users, counts["decisions"], events, counts["matured"], counts["goal"])

    def _list_batches(self, day: int) -> Iterator[tuple[Sequence[SegmentRef], int]]:
        """Yield the new segments of a day, and the time before which no other one has records. Names tell no order."""
        found = _find_segments(f"{self._root}/{format_day(day * DAY)}", self._store)
        new = [segment for segment in found if segment.key not in self._read]
        if len(new) <= BATCH:
            yield new, (day + 1) * DAY
            return
        times = map_concurrently(
            lambda segment: segment.read_opening_time(self._store), new, self._root, progress=False
        )
        starts = {segment.key: start for segment, start in zip(new, times, strict=True)}
        new.sort(key=lambda segment: starts[segment.key])
        for first in range(0, len(new), BATCH):
            later = new[first + BATCH : first + BATCH + 1]
            yield new[first : first + BATCH], starts[later[0].key] if later else (day + 1) * DAY

    def _read_batch(self, segments: Sequence[SegmentRef], end: int) -> None:
        """Count segments together; no other one has records before `end`."""
        new, keys = _NewRecords(), set[str]()
        try:
            for segment in segments:
                self._read_segment(segment, new)
                keys.add(segment.key)
        finally:  # so that the others are read again if the store failed
            self._read |= keys
            if keys:
                self._add_decisions({name: np.asarray(column) for name, column in new.decisions.items()}, end)
                self._match_feedback({name: np.asarray(column) for name, column in new.feedback.items()})
                self._count_matured()

    def _read_segment(self, segment: SegmentRef, new: _NewRecords) -> None:
        """Add the records of a segment that were made since the start."""
        for record in segment.read_records(self._store, self._mark, b'"type":"feedback"'):
            if isinstance(record, Feedback):
                if record.kind in OUTCOMES and record.time >= self.experiment.started:
                    new.add_feedback(record)
            elif isinstance(record, Decision) and record.experiment == self.experiment.name:
                arm = self._arms.get(record.arm or "")
                if arm is not None and record.time >= self.experiment.started:
                    new.add(arm, record)

    def _add_decisions(self, new: dict[str, AnyArray], end: int) -> None:
        """Count decisions that are not known, and let them wait in the order of their ids."""
        first = np.unique(new["id"], return_index=True)[1]
        place, known = _find_rows(self._pending["id"], new["id"][first])
        rows, place = _select(new, first[~known]), place[~known]
        self._count(rows["key"], "decisions")
        for name in FAILURES:
            self._count(rows["key"][rows[name] > 0], name)
        self._latest = max(self._latest, min(int(rows["time"].max(initial=0)), end))
        rows["outcomes"] = np.zeros(len(place), np.int64)
        for name, column in self._pending.items():  # one by one, since each is copied
            self._pending[name] = np.insert(column, place, rows[name])

    def _match_feedback(self, new: dict[str, AnyArray]) -> None:
        """Count the first outcome of each kind per decision; wait for decisions in segments that come later."""
        pending, feedback = self._pending, {name: np.append(self._feedback[name], new[name]) for name in new}
        row, known = _find_rows(pending["id"], feedback["id"])
        in_time = known.copy()
        in_time[known] = feedback["time"][known] <= pending["time"][row[known]] + self._maturity
        for kind, name in enumerate(OUTCOMES):
            rows = np.unique(row[in_time & (feedback["kind"] == kind)])
            rows = rows[pending["outcomes"][rows] >> kind & 1 == 0]
            pending["outcomes"][rows] |= 1 << kind
            self._count(pending["key"][rows], name)
        self._feedback = _select(feedback, ~known & (feedback["time"] >= self._latest - self._maturity))

    def _count_matured(self) -> None:
        matured = self._pending["time"] <= self._latest - self._maturity
        goal = matured & (self._pending["outcomes"] >> OUTCOMES.index(self.experiment.goal) & 1 > 0)
        self._count(self._pending["key"][matured], "matured")
        self._count(self._pending["key"][goal], "goal")
        for name, column in self._pending.items():
            self._pending[name] = column[~matured]

    @property
    def _maturity(self) -> int:
        return self.experiment.maturity_seconds * 1_000_000

    def _count(self, keys: Int64Array, column: str) -> None:
        """Add one per key, which may repeat, to a column."""
        found, times = np.unique(keys, return_counts=True)
        if len(new := np.setdiff1d(found, self._keys, assume_unique=True)):
            place = np.searchsorted(self._keys, new)
            self._keys, self._counts = np.insert(self._keys, place, new), np.insert(self._counts, place, 0, axis=0)
        self._counts[np.searchsorted(self._keys, found), COLUMNS.index(column)] += times

    def _load(self) -> None:
        """Take over the counts of the file, if they are of this log."""
        if self._cache is None or not self._cache.is_file():
            return
        names = ["root", "latest", "read", "keys", "counts", *(f"{t}_{name}" for t in FIELDS for name in FIELDS[t])]
        try:
            root, latest, read, keys, counts, *rest = npz.load(self._cache, names)
        except ArtifactError:  # written by another release, or damaged: the log has everything
            return
        if str(root) == self._root and counts.shape[1] == len(COLUMNS):
            self._latest, self._read, self._keys, self._counts = int(latest), {*read.tolist()}, keys, counts
            columns = iter(rest)
            self._pending, self._feedback = (dict(zip(FIELDS[table], columns, strict=False)) for table in FIELDS)

    def _save(self) -> None:
        if self._cache is None:
            return
        tables = {"pending": self._pending, "feedback": self._feedback}
        columns = {f"{table}_{name}": tables[table][name] for table in FIELDS for name in FIELDS[table]}
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        draft = self._cache.with_suffix(".draft")
        npz.save(
            draft,
            root=np.array(self._root),
            latest=np.int64(self._latest),
            read=np.array(sorted(self._read), np.str_),
            keys=self._keys,
            counts=self._counts,
            **columns,
        )
        draft.replace(self._cache)


def _find_segments(folder: str, store: Store) -> Sequence[SegmentRef]:
    try:
        return reading.find_segments([folder], store)
    except DataError:  # no segment is finished yet
        return []


def _number(identity: str) -> int:
    """Return 60 bits of an id."""
    return int(identity[-15:], 16)


def _empty(table: str) -> dict[str, AnyArray]:
    return {name: np.zeros(0, np.int64) for name in FIELDS[table]}


def _find_rows(ids: Int64Array, wanted: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Return the place of each wanted id among ascending ones, and whether it is there."""
    place = np.searchsorted(ids, wanted)
    inside = place < len(ids)
    inside[inside] = ids[place[inside]] == wanted[inside]
    return place, inside


def _select(table: dict[str, AnyArray], rows: Int64Array | BoolArray) -> dict[str, AnyArray]:
    return {name: column[rows] for name, column in table.items()}
