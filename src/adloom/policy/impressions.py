"""Impressions as a policy learns from them and is judged by: the situation, what could be shown, what was, a click."""

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

CONTEXT_COLUMNS = ("placement", "position", "segment")  # the context of every table, beside its own columns
LOGGED_SEGMENT = f"{PREFIX}segment"  # the segment as the decision knew it, in impressions of a decision log
UNKNOWN = ""  # the value of a context that is not known


@dataclass(frozen=True)
class Impressions:
    """Impressions whose outcome and propensity are known, in the order of their time."""

    creatives: tuple[str, ...]  # every id that was shown or could have been, ascending
    context: Mapping[str, AnyArray]  # column: its value in each row (rows,), UNKNOWN where missing
    sets: tuple[Int64Array, ...]  # the distinct lists of candidates, each ascending indices into creatives
    offered: Int64Array  # (rows,) index into sets
    shown: Int64Array  # (rows,) index into creatives
    clicked: Float64Array  # (rows,) 0 or 1, within the maturity
    propensity: Float64Array  # (rows,) in (0, 1]
    logging: AnyArray  # (rows,) name of the policy that chose, UNKNOWN where missing
    timestamp: DatetimeArray  # (rows,) UTC

    def __len__(self) -> int:
        return len(self.shown)

    def take(self, rows: BoolArray) -> Self:
        """Return the chosen rows (rows,); creatives and sets stay as they are."""
        arrays = ("offered", "shown", "clicked", "propensity", "logging", "timestamp")
        context = {name: values[rows] for name, values in self.context.items()}
        return replace(self, context=context, **{name: getattr(self, name)[rows] for name in arrays})

    def before(self, share: float) -> BoolArray:
        """Return which rows lie in the first `share` of the time that the rows span (rows,)."""
        start, end = self.timestamp.min(), self.timestamp.max()
        return np.asarray(self.timestamp <= start + (end - start) * share)


@dataclass(frozen=True)
class ExclusionCounts:
    """How many impressions do not count, and why."""

    immature: int  # younger than the maturity when the table ends: a click may still come
    late: int  # clicks that came after the maturity, and count as none
    without_propensity: int
    without_segment: int  # counted nevertheless, with the segment unknown


def read_impressions(
    rows: pd.DataFrame, segment: Sequence[str | None], maturity: timedelta
) -> tuple[Impressions, ExclusionCounts]:
    """
    Return the usable impressions of a prepared table, which ends with its latest row, and how many do not count.

    `segment` (rows,) is each user's, None where there is none; then the one counts that the decision knew, if it did. A
    row without candidates could have shown every creative that the table shows in its placement. Raises DataError when
    no row can be used.
    """
    of_user = pd.Series(list(segment), rows.index, "str")
    rows = rows.assign(segment=of_user.fillna(rows.get(LOGGED_SEGMENT, of_user))).sort_values(
        "timestamp", kind="stable"
    )
    ripe = select_matured(rows, pd.Timedelta(maturity), rows["timestamp"].max())
    known = ripe.rows[ripe.rows["propensity"].notna()].reset_index(drop=True)
    without = len(ripe.rows) - len(known)
    if known.empty:
        raise DataError(
            f"impressions: none of {len(rows)} can be used: {ripe.immature} are younger than "
            f"train_policy.maturity_hours when the table ends, {without} have no propensity; bring the log's "
            "propensities, or a longer log"
        )
    left = ExclusionCounts(ripe.immature, ripe.late, without, int(known["segment"].isna().sum()))
    return _to_impressions(known, _creatives_by_placement(rows)), left


def _creatives_by_placement(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return the creatives that the table shows in each placement."""
    return {str(place): sorted(ids.unique()) for place, ids in rows.groupby("placement")["creative_id"]}


def _to_impressions(rows: pd.DataFrame, placed: Mapping[str, list[str]]) -> Impressions:
    lists = _candidate_lists(rows, placed)
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


def _candidate_lists(rows: pd.DataFrame, placed: Mapping[str, list[str]]) -> list[tuple[str, ...]]:
    """Return the candidates of each row, ascending, the shown creative among them."""
    of_place = {place: tuple(ids) for place, ids in placed.items()}
    pairs = zip(rows["placement"], rows["candidates"], rows["creative_id"], strict=True)
    return [
        tuple(sorted({*map(str, given), shown})) if isinstance(given, list | np.ndarray) else of_place[place]
        for place, given, shown in pairs
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
