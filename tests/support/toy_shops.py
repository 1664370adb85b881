"""Toy shops: events of users of known segments."""

from collections.abc import Sequence

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, Int64Array
from adloom.audience.features import select_features
from adloom.audience.segmenter import FEATURES
from adloom.audience.user_table import stack_features
from adloom.storage.table_scan import hold_rows

CUT = pd.Timestamp("2026-01-01", tz="UTC")


def events(rows: Sequence[tuple[str, str, float | None]]) -> pd.DataFrame:
    """Return purchases from (user, time, value) in the calibration period and half a."""
    users, times, values = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype="str"),
            "timestamp": pd.to_datetime(pd.Series(times), format="ISO8601", utc=True).astype("datetime64[us, UTC]"),
            "event": "purchase",
            "value": pd.Series(values, dtype="float64"),
            "split": "calibration",
            "half": "a",
        }
    )


def shop(users: int = 120, seed: int = 0) -> pd.DataFrame:
    """
    Return events of three equal groups in 2025, and of January to June 2026 as holdout.

    Regular users buy 12 times for about 100, occasional ones 4 times for about 30, both all year; lost ones bought
    once for about 5 in January. 90 % of regular users and 10 % of others buy again.
    """
    rng = np.random.default_rng(seed)
    days, values = zip(*[_draw_purchases(rng, number % 3) for number in range(users)], strict=True)
    number = np.repeat(np.arange(users), [len(each) for each in days])
    times = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(np.concatenate(days), unit="D")
    return pd.DataFrame(
        {
            "user_id": pd.Series([f"{each:032x}" for each in number], dtype="str"),
            "timestamp": times.astype("datetime64[us, UTC]"),
            "event": "purchase",
            "value": np.concatenate(values).round(2),
            "split": np.where(times < CUT, "calibration", "holdout"),
            "half": np.where(number // 3 % 2, "a", "b"),
        }
    )


def features(rows: pd.DataFrame) -> Float64Array:
    """Return the features (users, 5) at CUT, users sorted."""
    return stack_features(compute_features(hold_rows(rows[rows["split"] == "calibration"]), CUT, "purchase"))


def draw_features(users: int, seed: int = 0) -> Float64Array:
    """Return the features (users, 5) of users without groups: a year's purchases at gamma-distributed rates."""
    rng = np.random.default_rng(seed)
    tenure = rng.uniform(270, 365, users)
    frequency = 1.0 + rng.poisson(rng.gamma(0.5, 3, users))
    recency = np.where(frequency > 1, tenure * rng.beta(1, 2, users), tenure)
    between = np.where(frequency > 1, (tenure - recency) / np.maximum(frequency - 1, 1), np.nan)
    return np.column_stack([recency, frequency, frequency * rng.lognormal(3, 0.6, users), tenure, between])


def compute_features(table: ibis.Table, as_of: pd.Timestamp, purchase: str) -> pd.DataFrame:
    """Return user_id and FEATURES, users ascending."""
    users: pd.DataFrame = select_features(table, as_of, purchase).order_by("user_id").to_pyarrow().to_pandas()
    return users.astype(dict.fromkeys(FEATURES, "float64"))


def _draw_purchases(rng: np.random.Generator, group: int) -> tuple[Int64Array, Float64Array]:
    """Return the days since 2025-01-01 and the values of a user's purchases."""
    count, value, last = ((12, 100.0, 360), (4, 30.0, 200), (1, 5.0, 20))[group]
    days = np.linspace(5, last, count).astype(int) + rng.integers(-3, 4, count)
    if rng.random() < (0.9, 0.1, 0.1)[group]:
        days = np.append(days, rng.integers(366, 540))
    return days, value * rng.uniform(0.8, 1.2, len(days))
