"""Impressions as compact arrays for training and evaluation, read in chunks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from adloom.arrays import AnyArray, BoolArray, DatetimeArray, Float64Array, Int32Array, Int64Array
from adloom.data.context import PREFIX
from adloom.errors import DataError
from adloom.policy.candidate_sets import CandidateIndex, CandidateSets
from adloom.policy.maturity import count_impressions, select_matured
from adloom.policy.rewards import CLICKS, OUTCOMES, RewardRule, find_known_outcomes

CONTEXT_COLUMNS = ("placement", "position", "segment")  # context columns that every table has
LOGGED_SEGMENT = f"{PREFIX}segment"  # the segment at the time of the decision, from a decision log
OUTLINE = ("timestamp", "placement", "creative_id", "propensity")  # columns of the first reading

ReadChunks = Callable[[Sequence[str] | None], Iterable[pd.DataFrame]]  # columns, or all → chunks of a table


@dataclass(frozen=True)
class Impressions:
    """Impressions with a known outcome and propensity, in time order."""

    creatives: tuple[str, ...]  # all shown creatives and candidates, ascending
    context: Mapping[str, pd.Categorical]  # column: values (rows,) with ascending categories
    sets: CandidateSets
    offered: Int32Array  # (rows,) index into sets
    shown: Int32Array  # (rows,) index into creatives
    reward: Float64Array  # (rows,) in [0, 1] once values are capped, in units of `unit`
    propensity: Float64Array  # (rows,) in (0, 1]; NaN in all rows until `propensity_model` estimates it
    propensity_estimated: BoolArray  # (rows,)
    weight: Float64Array  # (rows,) impressions that the row stands for
    user: Int32Array  # (rows,) number of the user, -1 if unknown
    timestamp: DatetimeArray  # (rows,) UTC
    kind: str = "click"  # of the reward
    unit: float = 1.0  # worth of a reward of 1: the cap of values
    outcomes: Mapping[str, Float64Array] = field(default_factory=dict)  # other outcomes: values (rows,)

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def count(self) -> int:
        """The number of impressions."""
        return int(self.weight.sum())

    @property
    def rewarded(self) -> int:
        """The number of impressions with a reward."""
        return int(((self.reward > 0) * self.weight).sum())

    @property
    def total_reward(self) -> float:
        """The sum of the rewards."""
        return float((self.reward * self.weight).sum())

    def select(self, rows: Int64Array | slice) -> Self:
        """Return the selected rows; creatives and sets stay."""
        context = {name: values[rows] for name, values in self.context.items()}
        outcomes = {name: values[rows] for name, values in self.outcomes.items()}
        arrays = {name: getattr(self, name)[rows] for name in ROW_ARRAYS}
        return replace(self, context=context, outcomes=outcomes, **arrays)

    def with_reward(self, kind: str) -> Self:
        """Return the impressions with another outcome as reward."""
        return replace(self, reward=self.outcomes[kind], kind=kind, unit=1.0)

    def cap_values(self, cap: float) -> Self:
        """Return the impressions with larger rewards counted as `cap`, which becomes the unit."""
        return replace(self, reward=self.reward.clip(max=cap) / cap, unit=cap)

    def split(self, share: float) -> tuple[Self, Self]:
        """Return the first `share` of the time span, and the rest."""
        start, end = self.timestamp[0], self.timestamp[-1]
        count = int(np.searchsorted(self.timestamp, start + (end - start) * share, "right"))
        return self.select(slice(count)), self.select(slice(count, None))


NO_ROWS = ("creatives", "context", "sets", "kind", "unit", "outcomes")
ROW_ARRAYS = [f.name for f in fields(Impressions) if f.name not in NO_ROWS]


@dataclass(frozen=True)
class ExclusionCounts:
    """The numbers of excluded impressions, by reason."""

    immature: int  # younger than the maturity at the end of the table
    late: int  # rewards after the attribution window, not counted
    without_propensity: int
    without_segment: int  # not excluded; their segment is unknown
    capped_users: int = 0  # not excluded; users who weigh less
    propensity_estimated: int = 0  # not excluded
    invalid: Mapping[str, int] = field(default_factory=dict)  # rows marked as invalid traffic, by reason
    capped_value: float = 0.0  # share of the value above the cap, not counted


def read_impressions(
    read: ReadChunks, maturity: timedelta, rule: RewardRule = CLICKS
) -> tuple[Impressions, ExclusionCounts]:
    """
    Return the usable impressions of a prepared table, and the numbers of excluded ones.

    A missing `segment` is the logged segment. Without logged candidates, all creatives of the placement count. Rows
    without a propensity are excluded if others have one. Raises DataError without usable rows.
    """
    total, now, by_placement, has_propensities = _read_outline(read)
    table, counts = _Table(by_placement, rule, pd.Timedelta(maturity)), ExclusionCounts(0, 0, 0, 0)
    for chunk in read(None) if total else []:
        matured = select_matured(chunk, table.maturity, now, rule)
        known = matured.rows[matured.rows["propensity"].notna()] if has_propensities else matured.rows
        known = known.assign(segment=_fill_segment(known))
        table.append(known)
        added = (
            matured.immature,
            matured.late,
            count_impressions(matured.rows) - count_impressions(known),
            count_impressions(known[known["segment"].isna()]),
        )
        counts = ExclusionCounts(*(a + b for a, b in zip(astuple(counts), added, strict=False)))
    if not table.rows:
        raise DataError(
            f"impressions: 0 of {total} usable: {counts.immature} are younger than train_policy.maturity_hours at the "
            f"end of the table, {counts.without_propensity} have no propensity; add propensities or use a longer log"
        )
    return table.to_impressions(), counts


def _read_outline(read: ReadChunks) -> tuple[int, pd.Timestamp, Mapping[str, list[str]], bool]:
    """Return the number of rows, the last timestamp, each placement's creatives, and whether there are propensities."""
    creatives: dict[str, set[str]] = defaultdict(set)
    rows, last, has_propensities = 0, pd.Timestamp(0, tz="UTC"), False
    for chunk in read(OUTLINE):
        rows += len(chunk)
        has_propensities |= bool(chunk["propensity"].notna().any())
        last = max([last, *([chunk["timestamp"].max()] if len(chunk) else [])])
        for placement, ids in chunk.groupby("placement")["creative_id"]:
            creatives[str(placement)].update(ids.unique())
    return rows, last, {placement: sorted(ids) for placement, ids in creatives.items()}, has_propensities


def _fill_segment(rows: pd.DataFrame) -> pd.Series:
    missing = pd.Series(None, rows.index, "str")
    logged = rows.get(LOGGED_SEGMENT, missing).astype("str")
    return rows.get("segment", missing).astype("str").fillna(logged)


@dataclass
class _Table:
    """The arrays of the chunks read so far."""

    by_placement: Mapping[str, list[str]]
    rule: RewardRule
    maturity: pd.Timedelta
    rows: int = 0
    _outcomes: dict[str, list[Float64Array]] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)  # outcomes with a value
    _candidates: CandidateIndex = field(default_factory=CandidateIndex)
    _arrays: dict[str, list[AnyArray]] = field(default_factory=lambda: defaultdict(list))
    _context: dict[str, list[pd.Categorical]] = field(default_factory=dict)

    def append(self, rows: pd.DataFrame) -> None:
        """Encode a chunk."""
        shown = self._candidates.number_creatives(rows["creative_id"])
        missing = pd.Series(None, rows.index, "object")
        columns: dict[str, Any] = {
            "shown": shown,
            "offered": self._candidates.number_sets(
                rows.get("candidates", missing), rows["placement"], shown, self.by_placement
            ),
            "reward": rows["reward"].to_numpy(float),
            "propensity": rows["propensity"].astype("float64").to_numpy(),
            "propensity_estimated": rows["propensity"].isna().to_numpy(bool),
            "weight": rows["weight"].fillna(1).to_numpy(float) if "weight" in rows else np.ones(len(rows)),
            "user": _hash_users(rows.get("user_id", missing)),
            "timestamp": rows["timestamp"].dt.tz_localize(None).to_numpy("datetime64[us]"),
        }
        for name, values in columns.items():
            self._arrays[name].append(values)
        self._append_outcomes(rows)
        for name in _context_names(rows):
            parts = self._context.setdefault(name, [])
            if gap := self.rows - sum(map(len, parts)):
                parts.append(_unknown(gap))
            parts.append(_to_categories(rows[name]))
        self.rows += len(rows)

    def _append_outcomes(self, rows: pd.DataFrame) -> None:
        known = find_known_outcomes(rows)
        self._known |= known
        for name in known & self.rule.others:
            parts = self._outcomes.setdefault(name, [])
            if gap := self.rows - sum(map(len, parts)):
                parts.append(np.zeros(gap))
            parts.append(self.rule.read_other(rows, name, self.maturity))

    def to_impressions(self) -> Impressions:
        """Return all chunks in time order; this empties the table. Raises DataError without the reward's column."""
        if self.rule.kind not in self._known:
            column = OUTCOMES[self.rule.kind].column
            raise DataError(
                f"impressions: no values of {column} in single impressions, which train_policy.reward: "
                f"{self.rule.kind} needs; map the column in ingest.impressions, or set train_policy.reward: click"
            )
        order = np.argsort(np.concatenate(self._arrays["timestamp"]), kind="stable")
        arrays: dict[str, Any] = {name: np.concatenate(self._arrays.pop(name))[order] for name in ROW_ARRAYS}
        context = {name: self._join_context(name)[order] for name in sorted(self._context, key=_context_order)}
        outcomes = {
            name: np.concatenate([*parts, np.zeros(self.rows - sum(map(len, parts)))])[order]
            for name, parts in sorted(self._outcomes.items())
        }
        creatives, sets, rank = self._candidates.finish()
        arrays |= {"shown": rank[arrays["shown"]], "user": _number_users(arrays["user"])}
        context = {n: v for n, v in context.items() if (v.codes >= 0).any()}
        return Impressions(creatives, context, sets, **arrays, kind=self.rule.kind, outcomes=outcomes)

    def _join_context(self, name: str) -> pd.Categorical:
        parts = self._context.pop(name)
        parts.append(_unknown(self.rows - sum(map(len, parts))))
        joined: pd.Categorical = union_categoricals(parts, sort_categories=True)
        return joined


def _context_names(rows: pd.DataFrame) -> list[str]:
    names = [n for n in CONTEXT_COLUMNS if n in rows]
    return [*names, *(n for n in map(str, rows) if n.startswith(PREFIX) and n != LOGGED_SEGMENT)]


def _context_order(name: str) -> tuple[int, str]:
    return (CONTEXT_COLUMNS.index(name), "") if name in CONTEXT_COLUMNS else (len(CONTEXT_COLUMNS), name)


def _to_categories(values: pd.Series) -> pd.Categorical:
    whole = values.astype("Int64") if pd.api.types.is_numeric_dtype(values) else values
    return pd.Categorical(whole.astype("str"))  # type: ignore[return-value]  # stubs of pandas: any, not object


def _unknown(rows: int) -> pd.Categorical:
    return pd.Categorical.from_codes(np.full(rows, -1), pd.Index([], dtype="str"))


def _hash_users(users: pd.Series) -> AnyArray:
    """Return a 64-bit number per user, 0 for unknown users: two users of a table almost never share one."""
    hashes = pd.util.hash_array(users.astype("str").to_numpy(object))
    return np.where(users.isna(), 0, hashes)


def _number_users(hashes: AnyArray) -> Int32Array:
    numbers = pd.factorize(hashes)[0].astype(np.int32)
    numbers[hashes == 0] = -1
    return numbers
