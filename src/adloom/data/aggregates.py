"""Aggregated impressions, such as A/B results: lines with counts become rows with weights."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa

from adloom.config.value_formats import ValueFormat
from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.values import COUNT, NUMBER
from adloom.errors import ConfigError, DataError

COUNTS = IMPRESSIONS, CLICKS = ("impressions", "clicks")
OUTCOMES = ("conversions", "value", "complaints", "cost")  # sums of a line, kept in its first row
RATE = f"{COUNT.unreadable}; a rate?"
REPLACED = ("clicked", "weight")  # columns that the counts determine


def are_aggregated(names: Iterable[str], label: str) -> bool:
    """Return whether columns are counts. Raises ConfigError for one alone, or beside a column that they replace."""
    mapped = set(names)
    counts = mapped & {*COUNTS}
    if len(counts) == 1:
        raise ConfigError(f"{label}.columns: {counts.pop()} alone; name {IMPRESSIONS} and {CLICKS}, or neither")
    if counts and (both := sorted(mapped & {*REPLACED})):
        raise ConfigError(f"{label}: {both[0]} beside {IMPRESSIONS} and {CLICKS}, which replace it; leave it out")
    return bool(counts)


def reject_unmapped(rows: pd.DataFrame, label: str) -> None:
    """Raise DataError for a file that has counts instead of `clicked`."""
    by_name = {str(name).lower(): name for name in rows}
    if "clicked" not in by_name and by_name.keys() >= {*COUNTS}:
        names = ", ".join(f"{name}: {by_name[name]}" for name in COUNTS)
        raise DataError(f"{label}: counts instead of single impressions; name them: columns: {{{names}}}")


def expand_counts(lines: pd.DataFrame, value_format: ValueFormat) -> pd.DataFrame:
    """
    Return the rows of lines with the columns impressions and clicks: the clicked and the other impressions of each.

    Rows have a `weight`; empty ones are left out. A line with invalid counts is one row with the reason.
    """
    counts, reasons = _parse_counts(lines, value_format)
    valid = reasons == ""
    clicks, others = counts[CLICKS].where(valid, 0), (counts[IMPRESSIONS] - counts[CLICKS]).where(valid, 0)
    broken = lines[:0] if valid.all() else _name_lines(lines.assign(**{PARSE_ERROR: reasons})[~valid])
    kinds = [
        _weigh(lines[clicks > 0], clicks, True, "-clicked"),
        _weigh(lines[others > 0], others, False, "-not-clicked"),
        _weigh(broken, clicks.mask(clicks >= 0), None, ""),
    ]
    rows = pd.concat([kind for kind in kinds if len(kind)] or kinds[:1]).drop(columns=[*COUNTS])
    rows = rows.sort_index(kind="stable")
    repeated = rows.index.duplicated()
    for name in OUTCOMES:
        if name in rows:
            rows[name] = rows[name].mask(repeated)
    return rows.reset_index(drop=True)


def _parse_counts(lines: pd.DataFrame, value_format: ValueFormat) -> tuple[pd.DataFrame, pd.Series]:
    """Return the counts of lines, and the first reason why they are invalid, else ""."""
    reasons = lines[PARSE_ERROR].fillna("").astype("str") if PARSE_ERROR in lines else pd.Series("", lines.index, "str")
    counts = {}
    for name in COUNTS:
        parsed, unreadable = COUNT.parse_column(lines[name], value_format)
        unreadable = unreadable.mask(_are_rates(lines[name], unreadable, value_format), RATE)
        unreadable = unreadable.mask((unreadable == "") & parsed.isna(), "missing")
        unreadable = unreadable.mask((parsed < 0).fillna(False), "negative")
        reasons = reasons.mask((reasons == "") & (unreadable != ""), f"{name}: " + unreadable)
        counts[name] = parsed.fillna(0).astype(np.int64)
    more = counts[CLICKS] > counts[IMPRESSIONS]
    return pd.DataFrame(counts), reasons.mask((reasons == "") & more, f"{CLICKS}: more than {IMPRESSIONS}")


def _are_rates(column: pd.Series, unreadable: pd.Series, value_format: ValueFormat) -> pd.Series:
    """Return whether each count that cannot be read is a number with decimals or a percentage."""
    if (unreadable == "").all():
        return unreadable != ""
    numbers = NUMBER.parse_column(column, value_format)[0]
    return (unreadable == COUNT.unreadable) & numbers.notna() | unreadable.str.contains("%")


def _name_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Return broken lines with their counts as their place, if they have none."""
    pairs = zip(*(lines[name].astype("str").fillna("no") for name in COUNTS), strict=True)
    places = pd.Series([f"a line of {shown} impressions and {clicks} clicks" for shown, clicks in pairs], lines.index)
    return lines.assign(**{PLACE: lines[PLACE].astype("str").fillna(places) if PLACE in lines else places})


def _weigh(rows: pd.DataFrame, weight: pd.Series, clicked: bool | None, suffix: str) -> pd.DataFrame:
    rows = rows.assign(
        clicked=pd.Series(clicked, rows.index, pd.ArrowDtype(pa.bool_())),
        weight=weight[rows.index].astype(pd.ArrowDtype(pa.int64())),
    )
    return rows.assign(impression_id=rows["impression_id"].astype("str") + suffix) if "impression_id" in rows else rows
