"""
User features from purchases before a cut-off.

The Ibis expressions run on any engine, here on DuckDB. Money is an exact decimal, so orders and threads do not matter.
"""

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Float64Array
from adloom.audience.segmenter import FEATURES
from adloom.data.context import REFUND
from adloom.errors import DataError

MAX_VALUE = 1e15  # of one purchase; with six decimals, 1e17 of them fit a decimal's 38 digits
_DAY = 86_400  # seconds


def compute_features(events: ibis.Table, cut: pd.Timestamp, purchase: str) -> pd.DataFrame:
    """
    Return user_id and FEATURES of each user with a purchase before the cut-off (UTC), sorted by user_id.

    `purchase` is the value of `event` that counts; refunds reduce what users paid. Raises DataError when a value is too
    large for an exact sum.
    """
    value = events.value if "value" in events.columns else ibis.null("float64")
    bought = events.event == purchase
    counted = events.filter(bought | (events.event == REFUND))
    counted = counted.select("user_id", "timestamp", value=value, bought=bought)
    if (largest := counted.value.abs().max().to_pyarrow().as_py() or 0.0) >= MAX_VALUE:
        raise DataError(f"events: value {largest:g}, expected below {MAX_VALUE:g}; check the unit of `value`")
    features: pd.DataFrame = build_expression(counted, cut).order_by("user_id").to_pyarrow().to_pandas()
    return features.astype(dict.fromkeys(FEATURES, "float64"))


def build_expression(purchases: ibis.Table, cut: pd.Timestamp) -> ibis.Table:
    """
    Return each user's features over purchases and refunds (user_id, timestamp in UTC without zone, value, bought).

    A null value counts as 0, and so does the money of users with more refunds than purchases. The time between
    purchases is null for users with one.
    """
    before = purchases.filter(purchases.timestamp < cut.tz_convert(None).to_pydatetime())
    second = before.bought.ifelse(before.timestamp.epoch_seconds(), ibis.null())
    money = before.value.cast("decimal(38, 6)").sum().cast("float64")
    totals = before.group_by("user_id").aggregate(
        first=second.min(),
        last=second.max(),
        frequency=second.count(),
        monetary=ibis.greatest(money.fill_null(0.0), 0.0),
    )
    totals = totals.filter(totals.frequency > 0)
    now = int(cut.timestamp())
    return totals.select(
        "user_id",
        recency_days=(now - totals["last"]) / _DAY,
        frequency=totals["frequency"],
        monetary=totals["monetary"],
        tenure_days=(now - totals["first"]) / _DAY,
        interpurchase_days=(totals["last"] - totals["first"]) / _DAY / (totals["frequency"] - 1).nullif(0),
    )


def to_matrix(users: pd.DataFrame) -> Float64Array:
    """Return the features (users, 5) in the order of FEATURES, NaN where null."""
    return np.ascontiguousarray(users[list(FEATURES)].to_numpy(np.float64))
