"""Maturity: an impression counts once its outcomes had time to arrive."""

from dataclasses import dataclass

import pandas as pd

from adloom.errors import DataError
from adloom.policy.rewards import CLICKS, RewardRule, read_outcome


@dataclass(frozen=True)
class MaturedImpressions:
    """Mature impressions with their `reward`, and the numbers of the others."""

    rows: pd.DataFrame
    immature: int  # excluded: younger than the maturity
    late: int  # matured impressions with an outcome after the window, not counted


def select_matured(
    impressions: pd.DataFrame,
    maturity: pd.Timedelta,
    now: pd.Timestamp,
    rule: RewardRule = CLICKS,
) -> MaturedImpressions:
    """
    Return impressions at least `maturity` old, with the rule's outcome that came within its window.

    Ignoring later outcomes makes the rate independent of `now`. Raises DataError for a negative maturity or a longer
    window.
    """
    window = rule.find_window(maturity)
    if not pd.Timedelta(0) <= window <= maturity:
        raise DataError(f"maturity: {maturity}, window: {window}; expected 0 <= window <= maturity")
    is_mature = impressions["timestamp"] + maturity <= now
    rows = impressions[is_mature].reset_index(drop=True)
    reward, late = read_outcome(rows, rule.kind, window)
    return MaturedImpressions(
        rows.assign(reward=reward), count_impressions(impressions[~is_mature]), count_impressions(rows[late])
    )


def count_impressions(rows: pd.DataFrame) -> int:
    """Return how many impressions rows stand for, by their `weight`."""
    return int(rows["weight"].fillna(1).sum()) if "weight" in rows else len(rows)
