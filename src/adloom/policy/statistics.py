"""
Mergeable statistics of a decision log: distinct impressions with their numbers, clicks and other outcomes.

Sums of integers in any order and grouping are equal, so merged parts equal a count of the whole log. Every model can
be fitted on them, since a row stands for any number of impressions. An impression counts as not clicked until its
click arrives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.data.context import PREFIX, SEPARATOR
from adloom.policy.traffic import TrafficRules

TYPES = {
    "hour": "int64",
    "placement": "str",
    "position": "int64",
    "creative_id": "str",
    "candidates": "str",
    "propensity": "float64",
    "held_out": "bool",
}
KEYS = tuple(TYPES)
COUNT_OF = {"click": "clicked", "conversion": "converted", "complaint": "complained"}  # kind of feedback: count
COUNTS = ["shown", *COUNT_OF.values()]
EPOCH = pd.Timestamp(0, tz="UTC")
HELD_OUT = 5  # one of so many users is held out of training, for the evaluation
MIN_SHARE = 0.002  # of impressions; rarer values of closed cells are forgotten
_MOMENT = {"key": "int64", "hour": "int64", "time": "int64"}
OPEN = {**_MOMENT, "cell": "int64", "user": "int64", "held_out": "bool"}  # of an impression that may still be clicked
FEEDBACK = {**_MOMENT, "kind": "str", "counted": "bool"}


@dataclass(frozen=True)
class ImpressionStatistics:
    """The statistics, and what later segments of the log may still change."""

    cells: pd.DataFrame  # KEYS, context columns and COUNTS; one row per distinct impression
    pending: pd.DataFrame  # OPEN: impressions that may still be clicked
    arrived: pd.DataFrame  # FEEDBACK: with or without a known impression

    @classmethod
    def empty(cls) -> Self:
        """Return the statistics of no log."""
        return cls(
            pd.DataFrame({name: [] for name in [*KEYS, *COUNTS]}).astype(TYPES | dict.fromkeys(COUNTS, "int64")),
            pd.DataFrame({name: [] for name in OPEN}).astype(OPEN),
            pd.DataFrame({name: [] for name in FEEDBACK}).astype(FEEDBACK),
        )

    FILES: ClassVar = ("cells.parquet", "pending.parquet", "feedback.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the statistics of `save`."""
        return cls(*(pd.read_parquet(folder / name) for name in cls.FILES))

    def save(self, folder: Path) -> list[Path]:
        """Write Parquet files, and return their paths."""
        paths = [folder / name for name in self.FILES]
        for path, table in zip(paths, (self.cells, self.pending, self.arrived), strict=True):
            table.to_parquet(path, compression="zstd", index=False)
        return paths

    @property
    def clicks(self) -> int:
        """The number of clicks."""
        return self.count("click")

    def count(self, kind: str) -> int:
        """Return the number of impressions with a kind of feedback."""
        return int(self.cells[COUNT_OF[kind]].sum())

    @property
    def impressions(self) -> int:
        """The number of impressions."""
        return int(self.cells["shown"].sum())

    def add(self, shown: pd.DataFrame, feedback: pd.DataFrame, hours: int, traffic: TrafficRules | None = None) -> Self:
        """
        Return the statistics with new impressions and feedback (key, kind, hour, time), whichever came first.

        Impressions, and feedback of a kind, count once per key. Impressions older than `hours` are closed to feedback,
        and those that the rules for traffic leave out are left out for good.
        """
        shown = shown[~shown["key"].isin(self.pending["key"])].drop_duplicates("key")
        shown = shown.assign(cell=_number_cells(shown))
        pending = pd.concat([self.pending, shown[list(OPEN)]], ignore_index=True).astype(OPEN)
        arrived = pd.concat([self.arrived, feedback.assign(counted=False)[list(FEEDBACK)]], ignore_index=True)
        arrived = arrived.astype(FEEDBACK).drop_duplicates(["key", "kind"])
        matched = arrived.loc[~arrived["counted"], ["key", "kind"]].merge(pending, on="key")
        counts = shown.assign(shown=1, **dict.fromkeys(COUNT_OF.values(), 0)).drop(
            columns=["key", "cell", "time", "user"]
        )
        cells = _add_counts(merge_cells([self.cells, counts]), _count_feedback(matched))
        arrived["counted"] |= arrived["key"].isin(pending["key"])
        oldest = int(pending["hour"].max() if len(pending) else 0) - hours
        whole = replace(self, cells=cells, pending=pending, arrived=arrived)
        if traffic and (closing := (pending["hour"] < oldest).to_numpy()).any():
            cells = whole._subtract(whole.find_invalid(traffic) & closing)
        still = (table[table["hour"] >= oldest].reset_index(drop=True) for table in (pending, arrived))
        return replace(whole, cells=_close(cells, oldest), **dict(zip(("pending", "arrived"), still, strict=True)))

    def find_invalid(self, traffic: TrafficRules) -> BoolArray:
        """Return which open impressions the rules leave out (pending,)."""
        counted = self.arrived[self.arrived["counted"] & (self.arrived["kind"] == "click")]
        return traffic.find_invalid(self.pending, counted)

    def leave_out(self, invalid: BoolArray) -> Self:
        """Return the statistics without some open impressions and their feedback."""
        known = self.arrived["key"].isin(self.pending.loc[invalid, "key"])
        return replace(
            self, cells=self._subtract(invalid), pending=self.pending[~invalid], arrived=self.arrived[~known]
        )

    def _subtract(self, invalid: BoolArray) -> pd.DataFrame:
        """Return the cells without some open impressions."""
        left_out = self.pending.loc[invalid, ["key", "cell"]]
        feedback = self.arrived.loc[self.arrived["counted"], ["key", "kind"]].merge(left_out, on="key")
        counts = {"shown": left_out["cell"].value_counts(), **_count_feedback(feedback)}
        cells = _add_counts(self.cells, {name: -count for name, count in counts.items()} if len(left_out) else {})
        return cells[cells["shown"] > 0].reset_index(drop=True)

    def to_impressions(self, held_out: bool | None = None, kind: str = "click") -> pd.DataFrame:
        """
        Return an impressions table with weights, for training: without propensities.

        The `kind` of feedback counts as their clicks. An impression that can still have one counts as much as the share
        of them that has arrived.
        """
        cells = self.cells if held_out is None else self.cells[self.cells["held_out"] == held_out]
        cells = cells.assign(shown=cells["shown"] * self.find_arrival(cells["hour"], kind))
        columns = ["placement", "position", "creative_id", *_list_context(cells), *COUNTS]
        rows = _expand(
            cells[columns].groupby(columns[: -len(COUNTS)], dropna=False, as_index=False).sum(), COUNT_OF[kind]
        )
        return rows.assign(timestamp=EPOCH, propensity=1.0)

    def to_evaluation(self, held_out: bool, kind: str = "click") -> pd.DataFrame:
        """
        Return the open impressions of the held-out users, or of the others, with candidates and propensities.

        The `kind` of feedback counts as their clicks.
        """
        cells = self.cells[self.cells["propensity"].notna() & (self.cells["held_out"] == held_out)]
        rows = _expand(cells.drop(columns="held_out"), COUNT_OF[kind])
        times = EPOCH + pd.to_timedelta(rows.pop("hour"), unit="h")
        return rows.assign(timestamp=times, candidates=rows["candidates"].str.split(SEPARATOR))

    def find_arrival(self, hour: pd.Series | Int64Array, kind: str = "click") -> Float64Array:
        """Return the share of the feedback on impressions that has arrived, by the hour of the impression (rows,)."""
        share = self.estimate_arrival(kind)
        age = self._latest - np.asarray(hour, np.int64)
        return np.asarray(share[age.clip(0, len(share) - 1)])

    def estimate_arrival(self, kind: str = "click") -> Float64Array:
        """
        Return the share of feedback that arrives up to each hour after the impression's (hours,).

        Chain ladder: each factor compares the impressions that are old enough for both hours (Mack 1993).
        """
        counted = self.arrived[self.arrived["counted"] & (self.arrived["kind"] == kind)]
        clicks = counted.merge(self.pending, on="key", suffixes=("", "_shown"))
        age = (self._latest - clicks["hour_shown"]).to_numpy()
        lag = (clicks["hour"] - clicks["hour_shown"]).clip(0).to_numpy()
        ages = range(1, int(self._latest - self.pending["hour"].min()) + 1 if len(self.pending) else 1)
        factors = [
            max(((age >= hours) & (lag <= hours)).sum(), 1) / max(((age >= hours) & (lag < hours)).sum(), 1)
            for hours in ages
        ]
        return np.asarray(1 / np.cumprod([1.0, *reversed(factors)])[::-1])

    @property
    def _latest(self) -> int:
        return int(self.pending["hour"].max()) if len(self.pending) else 0


def merge_cells(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the sum of statistics: one row per distinct impression, in the order of their values."""
    cells = pd.concat(parts, ignore_index=True)
    keys = [*KEYS, *_list_context(cells)]
    cells = cells.astype(TYPES | dict.fromkeys(_list_context(cells), "str"))
    return cells.groupby(keys, dropna=False, as_index=False, sort=True)[COUNTS].sum()


def _list_context(rows: pd.DataFrame) -> list[str]:
    return sorted(name for name in map(str, rows) if name.startswith(PREFIX))


def _number_cells(rows: pd.DataFrame) -> pd.Series:
    """Return a 64-bit number of each row's cell: two cells of a log almost never share one."""
    rows = rows.astype(TYPES)
    number = np.zeros(len(rows), np.uint64)
    for name in [*KEYS, *_list_context(rows)]:
        values = rows[name].where(rows[name].notna(), "").astype(str)
        codes, known = pd.factorize(values)
        hashes = pd.util.hash_array((name + SEPARATOR + known.astype(str)).to_numpy(object))
        number += np.where(rows[name].notna(), hashes[codes], 0).astype(np.uint64)
    return pd.Series(pd.util.hash_array(number).view(np.int64), rows.index)


def _count_feedback(matched: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the numbers of feedback (cell, kind) by cell, by column of the counts."""
    return {COUNT_OF[str(kind)]: rows["cell"].value_counts() for kind, rows in matched.groupby("kind")}


def _add_counts(cells: pd.DataFrame, counts: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Add numbers by cell to the counts of cells."""
    if not counts:
        return cells
    number = _number_cells(cells)
    added = {name: cells[name] + number.map(count).fillna(0).astype(np.int64) for name, count in counts.items()}
    return cells.assign(**added)


def _close(cells: pd.DataFrame, oldest: int) -> pd.DataFrame:
    """Forget the hour, candidates, propensity and rare context of cells from before an hour."""
    closed = (cells["hour"] < oldest) & cells["propensity"].notna()
    if not closed.any():
        return cells
    before = cells[closed].assign(hour=-1, candidates=None, propensity=np.nan)
    for name in _list_context(before):
        shares = before.groupby(name)["shown"].sum() / before["shown"].sum()
        before[name] = before[name].where(before[name].isin(shares.index[shares >= MIN_SHARE]))
    return merge_cells([cells[~closed], before])


def _expand(cells: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Return a row with its weight per cell and outcome."""
    missed = cells.assign(clicked=False, weight=(cells["shown"] - cells[outcome]).clip(lower=0))
    rows = pd.concat([missed, cells.assign(clicked=True, weight=cells[outcome])], ignore_index=True)
    return rows[rows["weight"] > 0].drop(columns=[name for name in COUNTS if name != "clicked"]).reset_index(drop=True)
