"""
Totals per user: exact sums over events that add up, so that a new day joins those before it.

The Ibis expressions run on any engine. Money is in millionths and gaps are in seconds, both exact decimals, so that the
order of rows, threads and engines do not matter.
"""

from dataclasses import dataclass

import ibis
import pandas as pd
from ibis import Column

from adloom.data.context import REFUND
from adloom.errors import DataError

MAX_VALUE = 9e12  # of one purchase; in millionths it fits 64 bits, and 1e19 of them fit a decimal's 38 digits
HOURS = tuple(f"hour_{hour}" for hour in range(24))
WEEKDAYS = tuple(f"weekday_{day}" for day in range(7))  # from Monday
_EXACT = "decimal(38, 0)"
_SHORT = "decimal(18, 0)"  # of seconds, so that their squares are exact


@dataclass(frozen=True)
class UserTotals:
    """Totals of a set of events; those of two disjoint sets add up."""

    users: ibis.Table  # user_id, first, last (s), frequency, paid, gap_squares, exposures, hour_*, weekday_*
    items: ibis.Table  # user_id, item_id, paid (1e-6)
    purchases: ibis.Table  # user_id, second of each purchase; late events need those of their users


def sum_events(events: ibis.Table, as_of: pd.Timestamp, purchase: str, exposure: str | None = None) -> UserTotals:
    """
    Sum purchases, refunds and exposures before `as_of` (UTC); timestamps are in UTC without a zone.

    `purchase` and `exposure` are values of `event`. Raises DataError when a value is too large for an exact sum.
    """
    rows = _select_rows(events, as_of, purchase, exposure)
    is_small = "value" not in events.columns or _find_largest(events) < MAX_VALUE  # which reads one column
    if not is_small and not (largest := _find_largest(rows)) < MAX_VALUE:
        raise DataError(f"events: value {largest:g}, expected below {MAX_VALUE:g}; check the unit of `value`")
    return build_totals(rows)


def _find_largest(rows: ibis.Table) -> float:
    return float(rows.value.abs().max().to_pyarrow().as_py() or 0.0)


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
    rows = rows.select(  # few columns, because the window sorts them
        "user_id",
        "item_id",
        "exposed",
        second=bought.ifelse(time.epoch_seconds().floor(), ibis.null("int64")),
        hour=bought.ifelse(time.hour(), -1).cast("int8"),
        day=bought.ifelse(time.day_of_week.index(), -1).cast("int8"),
        millionths=rows.exposed.ifelse(0.0, rows.value.fill_null(0.0) * 1e6),
    )
    items, purchases = rows.filter(rows.item_id.notnull(), ~rows.exposed), rows.filter(rows.second.notnull())
    rows = rows.mutate(gap=_measure_gap(rows.user_id, rows.second))
    users = rows.group_by("user_id").aggregate(
        first=rows.second.min(),
        last=rows.second.max(),
        frequency=rows.second.count(),
        paid=_sum_exactly(rows.millionths),
        gap_squares=_sum_squares(rows.gap),
        exposures=rows.count(where=rows.exposed),
        **{name: _count(rows.hour == i) for i, name in enumerate(HOURS)},
        **{name: _count(rows.day == i) for i, name in enumerate(WEEKDAYS)},
    )
    return UserTotals(
        users,
        items.group_by("user_id", "item_id").aggregate(paid=_sum_exactly(items.millionths)),
        purchases.select("user_id", "second"),
    )


def _sum_exactly(millionths: Column) -> Column:
    return millionths.round(0).cast(_EXACT).sum()


def _count(condition: Column) -> Column:
    """Return the number of rows with a condition; in DuckDB, a count with a filter takes longer."""
    return condition.ifelse(1, ibis.null("int8")).count()


def _measure_gap(user: Column, second: Column) -> Column:
    """Return the seconds since the user's purchase before; null where `second` is null, which sorts first."""
    in_order = ibis.window(group_by=user, order_by=second.asc(nulls_first=True))
    return (second - second.lag().over(in_order)).cast(_SHORT)


def merge_totals(parts: UserTotals) -> UserTotals:
    """Add up the totals of several sets of events: one row per user, and one per user and item."""
    users, items = parts.users, parts.items
    counts = ("frequency", "exposures", *HOURS, *WEEKDAYS)
    merged = users.group_by("user_id").aggregate(
        first=users["first"].min(),
        last=users["last"].max(),
        **{name: users[name].sum() for name in ("paid", "gap_squares")},
        **{name: users[name].sum().cast(_EXACT).cast("int64") for name in counts},  # DuckDB's sum is wider
    )
    return UserTotals(merged, items.group_by("user_id", "item_id").aggregate(paid=items.paid.sum()), parts.purchases)


def correct_gaps(known: UserTotals, new: UserTotals) -> ibis.Table:
    """
    Return rows of `users` that make the totals of new events add up with the known ones.

    They have `gap_squares` alone: the gap between a user's last known and first new purchase. A user with a late
    event has gaps that it splits: all the user's gaps are measured again, and the difference is the correction.
    """
    seen = known.users.semi_join(new.users, "user_id")
    seen = seen.group_by("user_id").aggregate(known_last=seen["last"].max(), known_squares=seen.gap_squares.sum())
    users = new.users.inner_join(seen, "user_id")
    late = users.filter(users.known_last > users["first"]).select("user_id")
    purchases = known.purchases.semi_join(late, "user_id").union(new.purchases.semi_join(late, "user_id"))
    gaps = purchases.select("user_id", gap=_measure_gap(purchases.user_id, purchases.second))
    again = gaps.group_by("user_id").aggregate(all_squares=_sum_squares(gaps.gap))
    users = users.left_join(again, "user_id").drop("user_id_right")
    since = (users["first"] - users.known_last).cast(_SHORT)
    in_order = (since * since).cast(_EXACT).fill_null(0)
    late_correction = users.all_squares - users.known_squares - users.gap_squares
    correction = users.all_squares.isnull().ifelse(in_order, late_correction).cast(_EXACT)
    types = dict(new.users.drop("user_id", "gap_squares").schema().items())
    nothing = {
        name: ibis.null(kind) if name in ("first", "last") else ibis.literal(0, kind) for name, kind in types.items()
    }
    return users.select("user_id", **(nothing | {"gap_squares": correction})).select(*new.users.columns)


def _sum_squares(gap: Column) -> Column:
    return (gap * gap).cast(_EXACT).sum().fill_null(0)
