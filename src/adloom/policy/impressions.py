"""Impressions as arrays for training and evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, BoolArray, DatetimeArray, Float64Array, Int64Array
from adloom.data.context import PREFIX
from adloom.errors import DataError
from adloom.policy.maturity import select_matured

CONTEXT_COLUMNS = ("placement", "position", "segment")  # context columns that every table has
LOGGED_SEGMENT = f"{PREFIX}segment"  # the segment at the time of the decision, from a decision log
UNKNOWN = ""  # value of a missing context


@dataclass(frozen=True)
class Impressions:
    """Impressions with a known outcome and propensity, in time order."""

    creatives: tuple[str, ...]  # all shown creatives and candidates, ascending
    context: Mapping[str, AnyArray]  # column: values (rows,), UNKNOWN if missing
    sets: tuple[Int64Array, ...]  # distinct candidate lists as ascending indices into creatives
    offered: Int64Array  # (rows,) index into sets
    shown: Int64Array  # (rows,) index into creatives
    clicked: Float64Array  # (rows,) 0 or 1, within the maturity
    propensity: Float64Array  # (rows,) in (0, 1]
    logging: AnyArray  # (rows,) name of the logging policy, UNKNOWN if missing
    timestamp: DatetimeArray  # (rows,) UTC

    def __len__(self) -> int:
        return len(self.shown)

    def select(self, rows: BoolArray) -> Self:
        """Return the selected rows (rows,); creatives and sets stay."""
        arrays = ("offered", "shown", "clicked", "propensity", "logging", "timestamp")
        context = {name: values[rows] for name, values in self.context.items()}
        return replace(self, context=context, **{name: getattr(self, name)[rows] for name in arrays})

    def before(self, share: float) -> BoolArray:
        """Return the mask of the first `share` of the time span (rows,)."""
        start, end = self.timestamp.min(), self.timestamp.max()
        return np.asarray(self.timestamp <= start + (end - start) * share)


@dataclass(frozen=True)
class ExclusionCounts:
    """The numbers of excluded impressions, by reason."""

    immature: int  # younger than the maturity at the end of the table
    late: int  # clicks after the maturity, not counted
    without_propensity: int
    without_segment: int  # not excluded; their segment is UNKNOWN


def read_impressions(
    rows: pd.DataFrame, segment: Sequence[str | None], maturity: timedelta
) -> tuple[Impressions, ExclusionCounts]:
    """
    Return the usable impressions of a prepared table, and the numbers of excluded ones.

    `segment` None falls back to the logged segment. Without logged candidates, all creatives of the placement count.
    Raises DataError without usable rows.
    """
    user_segment = pd.Series(list(segment), rows.index, "str")
    rows = rows.assign(segment=user_segment.fillna(rows.get(LOGGED_SEGMENT, user_segment))).sort_values(
        "timestamp", kind="stable"
    )
    matured = select_matured(rows, pd.Timedelta(maturity), rows["timestamp"].max())
    known = matured.rows[matured.rows["propensity"].notna()].reset_index(drop=True)
    without = len(matured.rows) - len(known)
    if known.empty:
        raise DataError(
            f"impressions: 0 of {len(rows)} usable: {matured.immature} are younger than train_policy.maturity_hours at "
            f"the end of the table, {without} have no propensity; add propensities or use a longer log"
        )
    excluded = ExclusionCounts(matured.immature, matured.late, without, int(known["segment"].isna().sum()))
    by_placement = {str(name): sorted(ids.unique()) for name, ids in rows.groupby("placement")["creative_id"]}
    return _to_impressions(known, by_placement), excluded


def _to_impressions(rows: pd.DataFrame, by_placement: Mapping[str, list[str]]) -> Impressions:
    lists = _candidate_lists(rows, by_placement)
    creatives = tuple(sorted({creative for offered in set(lists) for creative in offered}))
    number = {creative: i for i, creative in enumerate(creatives)}
    distinct = {offered: i for i, offered in enumerate(dict.fromkeys(lists))}
    return Impressions(
        creatives,
        _context_columns(rows),
        tuple(np.array([number[creative] for creative in offered], np.int64) for offered in distinct),
        np.array([distinct[offered] for offered in lists], np.int64),
        np.asarray(rows["creative_id"].map(number), np.int64),
        rows["clicked"].to_numpy(float),
        rows["propensity"].to_numpy(float),
        rows["logging_policy"].fillna(UNKNOWN).to_numpy(str),
        rows["timestamp"].dt.tz_localize(None).to_numpy("datetime64[us]"),
    )


def _candidate_lists(rows: pd.DataFrame, by_placement: Mapping[str, list[str]]) -> list[tuple[str, ...]]:
    """Return each row's candidates, ascending."""
    candidates = {placement: tuple(ids) for placement, ids in by_placement.items()}
    triples = zip(rows["placement"], rows["candidates"], rows["creative_id"], strict=True)
    return [
        tuple(sorted({*map(str, logged), shown})) if isinstance(logged, list | np.ndarray) else candidates[placement]
        for placement, logged, shown in triples
    ]


def _context_columns(rows: pd.DataFrame) -> dict[str, AnyArray]:
    names = [
        *CONTEXT_COLUMNS,
        *sorted(name for name in map(str, rows) if name.startswith(PREFIX) and name != LOGGED_SEGMENT),
    ]
    return {name: _to_text(rows[name]) for name in names if rows[name].notna().any()}


def _to_text(values: pd.Series) -> AnyArray:
    whole = values.astype("Int64") if pd.api.types.is_numeric_dtype(values) else values
    return whole.astype("str").mask(values.isna(), UNKNOWN).to_numpy(str)
