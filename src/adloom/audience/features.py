"""
User features at a point in time, as Ibis expressions over totals per user.

They run on any engine: DuckDB in process, or Spark.
"""

import ibis
import pandas as pd
from ibis import Column

from adloom.audience.segmenter import FEATURES
from adloom.audience.user_totals import HOURS, WEEKDAYS, UserTotals, sum_events

SPREAD = "interpurchase_spread_days"
TOP_ITEMS = 3
_DAY = 86_400  # seconds


def select_features(events: ibis.Table, as_of: pd.Timestamp, purchase: str) -> ibis.Table:
    """
    Return user_id and FEATURES of the users with a purchase before `as_of` (UTC).

    `purchase` is the value of `event` that counts; refunds reduce what users paid. Raises DataError when a value is too
    large for an exact sum.
    """
    return build_activity(sum_events(events, as_of, purchase), as_of).select("user_id", *FEATURES)


def build_features(totals: UserTotals, as_of: pd.Timestamp) -> ibis.Table:
    """Return user_id, FEATURES and all other features of each user with a purchase before `as_of` (UTC)."""
    activity, affinity = build_activity(totals, as_of), _build_affinity(totals.items)
    return activity.left_join(affinity, "user_id").drop("user_id_right")


def build_activity(totals: UserTotals, as_of: pd.Timestamp) -> ibis.Table:
    """
    Return each user's features that need no items.

    The money of users with more refunds than purchases is 0. The time between purchases is null for users with one,
    its standard deviation for users with fewer than three. Hours (UTC) and weekdays are shares of purchases.
    """
    users = totals.users.filter(totals.users.frequency > 0)
    now, period = int(as_of.timestamp()), users["last"] - users["first"]
    gaps = (users.frequency - 1).nullif(0)
    return users.select(
        "user_id",
        recency_days=(now - users["last"]) / _DAY,
        frequency=users.frequency,
        monetary=ibis.greatest(users.paid.cast("float64") / 1e6, 0.0),
        tenure_days=(now - users["first"]) / _DAY,
        interpurchase_days=period / _DAY / gaps,
        **{SPREAD: _build_spread(users.gap_squares, period, gaps)},
        exposures=users.exposures,
        exposed=users.exposures > 0,
        **{name: users[name] / users.frequency for name in (*HOURS, *WEEKDAYS)},
    )


def _build_spread(squares: Column, total: Column, count: Column) -> Column:
    """Return the sample's standard deviation in days of `count` gaps in seconds, from exact sums."""
    exact = count.cast("decimal(18, 0)") * squares - total.cast("decimal(18, 0)") * total.cast("decimal(18, 0)")
    return (exact.cast("float64") / (count * (count - 1)).nullif(0)).sqrt() / _DAY


def _build_affinity(items: ibis.Table) -> ibis.Table:
    """Return the TOP_ITEMS items for which each user paid most, net of refunds, and their shares of all items."""
    paid = items.filter(items.paid > 0)
    by_user = ibis.window(group_by=paid.user_id)
    rank = ibis.row_number().over(group_by=paid.user_id, order_by=[paid.paid.desc(), paid.item_id])
    paid = paid.mutate(rank=rank, share=paid.paid.cast("float64") / paid.paid.sum().over(by_user).cast("float64"))
    top = paid.filter(paid["rank"] < TOP_ITEMS)
    columns = {}
    for i in range(TOP_ITEMS):
        columns[f"top_item_{i + 1}"] = top.item_id.max(where=top["rank"] == i)
        columns[f"top_item_{i + 1}_share"] = top.share.max(where=top["rank"] == i)
    return top.group_by("user_id").aggregate(**columns)
