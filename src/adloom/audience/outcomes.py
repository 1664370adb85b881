"""Later purchases of segments: conversions and value per customer, where events carry them."""

from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, Int64Array
from adloom.audience.assignment import SUPPRESSED
from adloom.config.params import Evaluate
from adloom.data.context import REFUND
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Sample, Table

_UNIT = 1e6  # of a value: sums of whole numbers are exact in any order


@dataclass(frozen=True)
class Outcomes:
    """Purchases of each user after the start (users,)."""

    purchases: Float64Array
    value: Float64Array | None  # without refunds; None where no event has a value


def measure_outcomes(users: pd.Series, events: ibis.Table, start: pd.Timestamp, purchase: str) -> Outcomes:
    """Return the purchases of users at or after the start, and their value."""
    later = events.filter(events.timestamp >= start.tz_convert(None).to_pydatetime())
    if "value" not in later.columns:
        later = later.mutate(value=ibis.null("float64"))
    bought, value = later.event == purchase, later.value
    sums = later.filter(bought | (later.event == REFUND)).group_by("user_id")
    found = sums.aggregate(
        purchases=bought.sum(), value=(value * _UNIT).round().cast("int64").sum(), valued=value.count()
    )
    table = found.to_pyarrow().to_pandas().set_index("user_id").reindex(users).fillna(0).astype("float64")
    has_value = bool(table["valued"].any())
    return Outcomes(table["purchases"].to_numpy(), table["value"].to_numpy() / _UNIT if has_value else None)


def tabulate_outcomes(outcomes: Outcomes, segment: Int64Array, names: tuple[str, ...], params: Evaluate) -> Table:
    """Return the outcomes per customer of each published segment that has users, with 95 % intervals."""
    columns = {"purchases per customer": outcomes.purchases}
    if outcomes.value is not None:
        columns["value per customer"] = outcomes.value
    rows: list[list[str | float | int]] = [
        [
            names[i],
            int((segment == i).sum()),
            *(_format_mean(column[segment == i], params) for column in columns.values()),
        ]
        for i in np.unique(segment)
        if names[i] != SUPPRESSED
    ]
    caption = (
        "Means over all customers of a segment in the holdout period, with 95 % intervals. Refunds are subtracted."
    )
    return Table("Conversions and value", caption, ["segment", "customers", *columns], rows)


def _format_mean(values: Float64Array, params: Evaluate) -> str:
    mean = bootstrap(Sample((values,), statistics.mean, "ratio"), params.bootstraps, params.seed)
    return f"{mean.value:,.2f} ({mean.low:,.2f} to {mean.high:,.2f})"
