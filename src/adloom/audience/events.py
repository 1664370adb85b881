"""Questions to a table of events, as Ibis expressions that an engine answers without holding the table."""

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import BoolArray, Int64Array


def count_events(events: ibis.Table) -> int:
    """Return the number of rows."""
    return int(events.count().to_pyarrow().as_py())


def find_period(events: ibis.Table) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the midnights (UTC) before the first and after the last event; there must be one."""
    ends = events.aggregate(first=events.timestamp.min(), last=events.timestamp.max()).to_pyarrow().to_pylist()[0]
    first, last = (pd.Timestamp(ends[name], tz="UTC").normalize() for name in ("first", "last"))
    return first, last + pd.Timedelta(days=1)


def list_kinds(events: ibis.Table) -> list[str]:
    """Return the values of `event`, sorted."""
    return sorted(_fetch_distinct(events, "event"))


def find_buyers(users: pd.Series, events: ibis.Table, start: pd.Timestamp, purchase: str) -> BoolArray:
    """Return whether each user has a purchase at or after the start (users,)."""
    later = events.filter(events.event == purchase, events.timestamp >= start.tz_convert(None).to_pydatetime())
    return users.isin(_fetch_distinct(later, "user_id")).to_numpy()


def find_learning_users(users: pd.Series, events: ibis.Table) -> BoolArray:
    """Return whether each user (users,) is in half a, which rates are learnt from."""
    return users.isin(_fetch_distinct(events.filter(events.half == "a"), "user_id")).to_numpy()


def find_values(users: pd.Series, events: ibis.Table, column: str) -> tuple[Int64Array, Int64Array]:
    """Return the distinct pairs (pairs,) of a user's index and the number of one of the user's values in a column."""
    pairs = events.filter(events[column].notnull()).select("user_id", column).distinct().to_pyarrow().to_pandas()
    index = pd.Index(users).get_indexer(pairs["user_id"])
    known = index >= 0
    return index[known].astype(np.int64), pd.factorize(pairs[column][known], sort=True)[0].astype(np.int64)


def _fetch_distinct(events: ibis.Table, column: str) -> pd.Series:
    values: pd.Series = events.select(column).distinct().to_pyarrow().to_pandas()[column]
    return values
