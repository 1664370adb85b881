"""Questions to a table of events, as Ibis expressions that an engine answers without holding the table."""

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Int64Array
from adloom.data.context import REFUND
from adloom.errors import DataError

_UNIT = 1e6  # of a value: sums of whole numbers are exact in any order


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


def find_currency(events: ibis.Table) -> str | None:
    """Return the currency of the values, None where it is not stated. Raises DataError for several."""
    if not {"value", "currency"} <= {*events.columns}:
        return None
    names = sorted(_fetch_distinct(events.filter(events.value.notnull(), events.currency.notnull()), "currency"))
    if len(names) > 1:
        raise DataError(
            f"events: values in {', '.join(names)}, expected one currency; set prepare.currency and "
            "prepare.currency_rates, and run `adloom prepare` again"
        )
    return names[0] if names else None


def describe_later(events: ibis.Table, start: pd.Timestamp, purchase: str) -> ibis.Table:
    """
    Return of each user whether rates are learnt from it, and its purchases and their value at or after the start.

    Rates are learnt from half a. Refunds are subtracted from the value; `valued` counts the events that have one.
    """
    is_later = events.timestamp >= start.tz_convert(None).to_pydatetime()
    bought = is_later & (events.event == purchase)
    counts = bought | (is_later & (events.event == REFUND))
    paid = counts.ifelse(events.value if "value" in events.columns else ibis.null("float64"), ibis.null("float64"))
    return events.group_by("user_id").aggregate(
        learn=(events.half == "a").any(),
        purchases=bought.sum().cast("int64"),
        value=(paid * _UNIT).round(0).cast("decimal(38, 0)").sum().cast("float64").fill_null(0.0) / _UNIT,
        valued=paid.count(),
    )


def find_segment_values(users: ibis.Table, events: ibis.Table, column: str) -> tuple[Int64Array, Int64Array]:
    """Return the distinct pairs (pairs,) of a segment and the number of a value in a column; users have a `segment`."""
    known = events.filter(events[column].notnull()).select("user_id", column)
    pairs = known.inner_join(users, "user_id").select("segment", value=known[column]).distinct().to_pyarrow()
    numbers = pd.factorize(pairs["value"].to_pandas(), sort=True)[0]
    return pairs["segment"].to_numpy().astype(np.int64), numbers.astype(np.int64)


def _fetch_distinct(events: ibis.Table, column: str) -> pd.Series:
    values: pd.Series = events.select(column).distinct().to_pyarrow().to_pandas()[column]
    return values
