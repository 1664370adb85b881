"""Small prepared tables of impressions."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.data import contracts
from adloom.policy.batch import score_batches
from adloom.policy.impressions import ExclusionCounts, Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.scorer import Policy

START = pd.Timestamp("2026-01-01", tz="UTC")


def impressions_frame(
    creative_id: Iterable[str],
    hours: Iterable[float] | None = None,
    outcome: Sequence[float | None] = (),
    **columns: Any,
) -> pd.DataFrame:
    """Return impressions with the contract's types; default: one hour apart, one placement."""
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


NO_CATEGORIES = Categories()


NO_MATURITY = timedelta(0)


def read_frame(**columns: Any) -> Impressions:
    return read_rows(impressions_frame(**columns))[0]


def read_rows(rows: pd.DataFrame, maturity: timedelta = NO_MATURITY) -> tuple[Impressions, ExclusionCounts]:
    """Return a prepared table as arrays."""
    return read_impressions(lambda columns: [rows], maturity)


def dense_probabilities(policy: Policy, data: Impressions) -> AnyArray:
    """Return each creative's probability in each row (rows, creatives)."""
    result = np.zeros((len(data), len(data.creatives)))
    for batch in score_batches(policy, data, np.zeros(len(data), np.int64)):
        for row, context in zip(batch.rows, batch.context, strict=True):
            part = slice(batch.starts[context], batch.starts[context + 1])
            result[row, batch.action[part]] = batch.probability[part]
    return result


def repeat_impressions(shown: dict[tuple[str, str], tuple[int, int]]) -> Impressions:
    """Return impressions of {(placement, creative): (impressions, clicks)}."""
    rows = [(*pair, i < clicks) for pair, (count, clicks) in shown.items() for i in range(count)]
    placement, creative, clicked = zip(*rows, strict=True)
    return read_frame(placement=placement, creative_id=creative, clicked=clicked)


def crossed_tastes(seed: int = 0, rows: int = 4000, **columns: Any) -> Impressions:
    """Return impressions where phones click a, tablets click b, and nobody clicks c."""
    rng = np.random.default_rng(seed)
    device, creative = rng.choice(["phone", "tablet"], rows), rng.choice(["a", "b", "c"], rows)
    liked = ((device == "phone") & (creative == "a")) | ((device == "tablet") & (creative == "b"))
    clicked = rng.random(rows) < np.where(liked, 0.4, 0.1)
    return read_frame(creative_id=creative, clicked=clicked, ctx_device=device, propensity=1 / 3, **columns)
