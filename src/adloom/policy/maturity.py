"""Maturity: a click comes later than its impression, so an impression counts once its clicks had time to come."""

from dataclasses import dataclass

import pandas as pd

from adloom.errors import DataError


@dataclass(frozen=True)
class MaturedImpressions:
    """The impressions that count, and how many do not."""

    rows: pd.DataFrame
    immature: int  # left out: younger than the maturity, clicked or not
    late: int  # clicks of matured impressions that came after the maturity, which count as none


def select_matured(impressions: pd.DataFrame, maturity: pd.Timedelta, now: pd.Timestamp) -> MaturedImpressions:
    """
    Return the impressions that are at least `maturity` old at `now`, clicked where the click came within `maturity`.

    Takes the columns timestamp, clicked and, where it is known, outcome_at. A young impression is left out although it
    was clicked, and a late click is none although it is known: else the rate would depend on when one looks. Raises
    DataError when the maturity is negative.
    """
    if maturity < pd.Timedelta(0):
        raise DataError(f"maturity: {maturity}, expected a time of 0 or more")
    old = impressions["timestamp"] + maturity <= now
    rows = impressions[old].reset_index(drop=True)
    clicked = rows["clicked"].fillna(False).astype(bool)
    late = clicked & (rows["outcome_at"] > rows["timestamp"] + maturity) if "outcome_at" in rows else clicked & False
    return MaturedImpressions(rows.assign(clicked=clicked & ~late), int((~old).sum()), int(late.sum()))
