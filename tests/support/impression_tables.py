"""Small tables of impressions, as prepare leaves them."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from adloom.data import contracts

START = pd.Timestamp("2026-01-01", tz="UTC")


def frame(
    creative_id: Iterable[str],
    hours: Iterable[float] | None = None,
    outcome: Sequence[float | None] = (),
    **columns: Any,
) -> pd.DataFrame:
    """Return impressions with the contract's types, an hour apart and of one placement where nothing else is said."""
    creatives = list(creative_id)
    count = len(creatives)
    raw = {
        "impression_id": [f"i{number}" for number in range(count)],
        "timestamp": START + pd.to_timedelta(list(range(count) if hours is None else hours), unit="h"),
        "placement": "top",
        "creative_id": creatives,
        "clicked": False,
        "propensity": 0.5,
        "outcome_at": START + pd.to_timedelta(pd.Series(list(outcome) or [None] * count, dtype="float64"), unit="h"),
        **columns,
    }
    rows, reasons = contracts.validate(pd.DataFrame(raw), "impressions")
    assert (reasons == "").all()
    return rows
