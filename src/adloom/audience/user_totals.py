"""
Totals per user: exact sums over events that add up, so that a new day joins those before it.

The Ibis expressions run on any engine. Money is in millionths and gaps are in seconds, both exact decimals, so that the
order of rows, threads and engines do not matter.
"""

from dataclasses import dataclass

import ibis
import pandas as pd

from adloom.data.context import REFUND
from adloom.errors import DataError

MAX_VALUE = 1e15  # of one purchase; 1e17 of them, in millionths, fit a decimal's 38 digits
HOURS = tuple(f"hour_{hour}" for hour in range(24))
WEEKDAYS = tuple(f"weekday_{day}" for day in range(7))  # from Monday
_EXACT = "decimal(38, 0)"
_SHORT = "decimal(18, 0)"  # of seconds, so that their squares are exact


@dataclass(frozen=True)
class UserTotals:
    """Totals of a set of events; those of two disjoint sets add up."""

    users: (
        ibis.Table
    )  # user_id, first and last purchase (s), frequency, paid, gap_squares, exposures, hour_*, weekday_*
    items: ibis.Table  # user_id, item_id, paid (1e-6)


def sum_events(events: ibis.Table, as_of: pd.Timestamp, purchase: str, exposure: str | None = None) -> UserTotals:
    """
    Sum purchases, refunds and exposures before `as_of` (UTC); timestamps are in UTC without a zone.

    `purchase` and `exposure` are values of `event`. Raises DataError when a value is too large for an exact sum.
    """
    rows = _select_rows(events, as_of, purchase, exposure)
    largest = rows.value.abs().max().to_pyarrow().as_py() or 0.0
    if not largest < MAX_VALUE:
        raise DataError(f"events: value {largest:g}, expected below {MAX_VALUE:g}; check the unit of `value`")
    return build_totals(rows)


def _select_rows(events: ibis.Table, as_of: pd.Timestamp, purchase: str, exposure: str | None) -> ibis.Table:
    """Return user_id, timestamp, value and item_id of events that count, and whether each is a purchase or exposure."""
    kinds = [purchase, REFUND, *([exposure] if exposure else [])]
    before = events.filter(events.event.isin(kinds), events.timestamp < as_of.tz_convert(None).to_pydatetime())
    return before.select(
        "user_id",
        "timestamp",
        value=before.value if "value" in before.columns else ibis.null("float64"),
        item_id=before.item_id if "item_id" in before.columns else ibis.null("string"),
        bought=before.event == purchase,
        exposed=before.event == exposure if exposure else ibis.literal(False),
    )


def build_totals(rows: ibis.Table) -> UserTotals:
    """Return the totals of rows (user_id, timestamp, value, item_id, bought, exposed); a null value counts as 0."""
    bought, time = rows.bought, rows.timestamp
    second = bought.ifelse(time.epoch_seconds().floor(), ibis.null("int64"))
    in_order = ibis.window(group_by=rows.user_id, order_by=[bought, second])
    rows = rows.mutate(
        second=second,
        gap=(second - second.lag().over(in_order)).cast(_SHORT),
        hour=bought.ifelse(time.hour(), ibis.null("int32")).cast("int8"),
        day=bought.ifelse(time.day_of_week.index(), ibis.null("int32")).cast("int8"),
        paid=rows.exposed.ifelse(0.0, rows.value.fill_null(0.0) * 1e6).round(0).cast(_EXACT),
    )
    users = rows.group_by("user_id").aggregate(
        first=rows.second.min(),
        last=rows.second.max(),
        frequency=rows.second.count(),
        paid=rows.paid.sum(),
        gap_squares=(rows.gap * rows.gap).cast(_EXACT).sum().fill_null(0),
        exposures=rows.count(where=rows.exposed),
        **{name: rows.count(where=rows.hour == i) for i, name in enumerate(HOURS)},
        **{name: rows.count(where=rows.day == i) for i, name in enumerate(WEEKDAYS)},
    )
    named = rows.filter(rows.item_id.notnull(), ~rows.exposed)
    return UserTotals(users, named.group_by("user_id", "item_id").aggregate(paid=named.paid.sum()))
