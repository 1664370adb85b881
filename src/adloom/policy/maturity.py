"""Maturity: an impression counts once its clicks had time to arrive."""

from dataclasses import dataclass

import pandas as pd

from adloom.errors import DataError


@dataclass(frozen=True)
class MaturedImpressions:
    """Mature impressions, and the numbers of the others."""

    rows: pd.DataFrame
    immature: int  # excluded: younger than the maturity
    late: int  # clicks of matured impressions after the maturity, not counted


def select_matured(impressions: pd.DataFrame, maturity: pd.Timedelta, now: pd.Timestamp) -> MaturedImpressions:
    """
    Return impressions at least `maturity` old, clicked if the click came within `maturity`.

    Ignoring later clicks makes the rate independent of `now`. Raises DataError for a negative maturity.
    """
    if maturity < pd.Timedelta(0):
        raise DataError(f"maturity: {maturity}, expected at least 0")
    is_mature = impressions["timestamp"] + maturity <= now
    rows = impressions[is_mature].reset_index(drop=True)
    late = pd.Series(False, rows.index)
    if "outcome_at" in rows:
        late = (rows["outcome_at"] > rows["timestamp"] + maturity).fillna(False).astype(bool)
    clicked = rows["clicked"].fillna(False).astype(bool)
    return MaturedImpressions(
        rows.assign(clicked=clicked & ~late),
        count_impressions(impressions[~is_mature]),
        count_impressions(rows[clicked & late]),
    )


def count_impressions(rows: pd.DataFrame) -> int:
    """Return how many impressions rows stand for, by their `weight`."""
    return int(rows["weight"].fillna(1).sum()) if "weight" in rows else len(rows)
