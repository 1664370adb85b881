"""Later purchases of segments: conversions and value per customer, where events carry them."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, IntegerArray
from adloom.audience.assignment import SUPPRESSED
from adloom.audience.exact_sums import sum_groups
from adloom.audience.user_table import pair_rows
from adloom.evaluation.intervals import TAIL, wilson_interval
from adloom.evaluation.metric import Metric, Table

COLUMNS = ("purchases", "value", "valued")  # of a user after the start


@dataclass(frozen=True)
class Outcomes:
    """Sums over the users of each segment (segments,) after the start, and of their squares."""

    users: Float64Array
    buyers: Float64Array
    purchases: tuple[Float64Array, Float64Array]
    value: tuple[Float64Array, Float64Array] | None  # less refunds; None where no event has a value

    @classmethod
    def sum(cls, batches: Iterable[pd.DataFrame], segment: IntegerArray, segments: int) -> "Outcomes":
        """Add up COLUMNS of batches of users; segment (users,) is theirs."""
        columns = ((_list_columns(batch), part) for batch, part in pair_rows(batches, segment))
        users, buyers, *sums, valued = sum_groups(columns, segments, 7).T
        return cls(users, buyers, (sums[0], sums[1]), (sums[2], sums[3]) if valued.any() else None)

    def measure_rates(self, names: tuple[str, ...]) -> dict[str, Metric]:
        """Return the share of each segment with users, and of `all`, that bought, with Wilson's interval."""
        counts = dict(zip(names, zip(self.buyers, self.users, strict=True), strict=True))
        counts["all"] = self.buyers.sum(), self.users.sum()
        return {name: _measure_share(int(buyers), int(users)) for name, (buyers, users) in counts.items() if users}


def tabulate_outcomes(outcomes: Outcomes, names: tuple[str, ...]) -> Table:
    """Return the outcomes per customer of each published segment that has users, with 95 % intervals."""
    columns = {"purchases per customer": outcomes.purchases}
    if outcomes.value is not None:
        columns["value per customer"] = outcomes.value
    rows: list[list[str | float | int]] = [
        [
            names[i],
            int(outcomes.users[i]),
            *(_format_mean(int(outcomes.users[i]), sums[i], squares[i]) for sums, squares in columns.values()),
        ]
        for i in np.flatnonzero(outcomes.users)
        if names[i] != SUPPRESSED
    ]
    caption = (
        "Means over all customers of a segment in the holdout period, with 95 % intervals. Refunds are subtracted."
    )
    return Table("Conversions and value", caption, ["segment", "customers", *columns], rows)


def _list_columns(users: pd.DataFrame) -> Float64Array:
    purchases, value, valued = users[list(COLUMNS)].to_numpy(dtype=np.float64).T
    return np.stack([np.ones(len(users)), purchases > 0, purchases, purchases**2, value, value**2, valued], axis=1)


def _measure_share(hits: int, users: int) -> Metric:
    return Metric(hits / users, *wilson_interval(hits, users), users, "share")


def _format_mean(users: int, total: float, square: float) -> str:
    """Return the mean with the normal interval of the sample's deviation."""
    mean = total / users
    error = (max(square / users - mean**2, 0.0) / max(users - 1, 1)) ** 0.5
    half = NormalDist().inv_cdf(1 - TAIL) * error
    return f"{mean:,.2f} ({mean - half:,.2f} to {mean + half:,.2f})"
