"""
Features of a user, from purchases before a cut-off date: recency, frequency, money, tenure and time between purchases.

The expressions are Ibis, and none is peculiar to one engine: they run here on DuckDB with one thread. Money is summed
as a decimal, which is exact, so the order of the rows and the number of threads do not matter anywhere.
"""

import ibis
import numpy as np
import pandas as pd
import pyarrow

from adloom.arrays import BoolArray, Float64Array
from adloom.audience.segmenter import FEATURES
from adloom.errors import DataError

MAX_VALUE = 1e15  # of one purchase; with six decimals, 1e17 of them fit a decimal's 38 digits
_DAY = 86_400  # seconds


def compute_features(events: pd.DataFrame, cut: pd.Timestamp, purchase: str) -> pd.DataFrame:
    """
    Return user_id and FEATURES of every user with a purchase before the cut-off (UTC), one row each, sorted by user_id.

    `purchase` is the value of `event` that counts; other events do not. A column `value` may be absent. Raises
    DataError when a purchase's value is too large to be summed exactly.
    """
    counted = _filter_purchases(events, purchase)
    value = pd.Series(np.nan, counted.index) if "value" not in counted else counted["value"].astype("float64")
    if (value >= MAX_VALUE).any():
        raise DataError(f"events: value {value.max():g}, expected below {MAX_VALUE:g}; check the unit of `value`")
    rows = pd.DataFrame(
        {
            "user_id": counted["user_id"].astype("str"),
            "timestamp": counted["timestamp"].dt.tz_convert(None),  # else DuckDB reads it in the machine's time zone
            "value": value,
        }
    )
    query = build_expression(ibis.memtable(pyarrow.Table.from_pandas(rows, preserve_index=False)), cut).order_by(
        "user_id"
    )
    found: pd.DataFrame = ibis.duckdb.connect(threads=1).to_pyarrow(query).to_pandas()
    return found.astype(dict.fromkeys(FEATURES, "float64"))


def build_expression(purchases: ibis.Table, cut: pd.Timestamp) -> ibis.Table:
    """
    Return the features of each user as an expression over purchases (user_id, timestamp in UTC without zone, value).

    - recency_days: from the last purchase to the cut-off; tenure_days: from the first one
    - frequency: number of purchases
    - monetary: sum of `value`, which is that of the whole row, so `quantity` is not needed; a null counts as 0
    - interpurchase_days: mean time between two purchases, null for users with one
    """
    before = purchases.filter(purchases.timestamp < cut.tz_convert(None).to_pydatetime())
    second = before.timestamp.epoch_seconds()
    money = before.value.cast("decimal(38, 6)").sum().cast("float64")
    seen = before.group_by("user_id").aggregate(
        first=second.min(), last=second.max(), frequency=before.count(), monetary=money.fill_null(0.0)
    )
    now = int(cut.timestamp())
    return seen.select(
        "user_id",
        recency_days=(now - seen["last"]) / _DAY,
        frequency=seen["frequency"],
        monetary=seen["monetary"],
        tenure_days=(now - seen["first"]) / _DAY,
        interpurchase_days=(seen["last"] - seen["first"]) / _DAY / (seen["frequency"] - 1).nullif(0),
    )


def to_matrix(users: pd.DataFrame) -> Float64Array:
    """Return the features (users, 5) in the order of FEATURES, NaN where null."""
    return np.ascontiguousarray(users[list(FEATURES)].to_numpy(np.float64))


def find_period_end(events: pd.DataFrame) -> pd.Timestamp:
    """Return the first midnight (UTC) after the last event: the cut-off for features that see all of them."""
    last: pd.Timestamp = events["timestamp"].max()
    return last.normalize() + pd.Timedelta(days=1)


def find_buyers(users: pd.Series, events: pd.DataFrame, start: pd.Timestamp, purchase: str) -> BoolArray:
    """Return which users have a purchase at or after the start (users,), booleans."""
    buyers = _filter_purchases(events[events["timestamp"] >= start], purchase)["user_id"]
    return users.isin(buyers).to_numpy()


def _filter_purchases(events: pd.DataFrame, purchase: str) -> pd.DataFrame:
    return events[events["event"] == purchase]
