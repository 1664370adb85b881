"""Maturity: an impression counts once its click had time to come."""

import numpy as np
import pandas as pd
import pytest

from adloom.errors import DataError
from adloom.policy.maturity import select_matured
from adloom.world.simulator import START, Config, World

HOUR = pd.Timedelta(hours=1)


def test_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "timestamp": START + HOUR * np.array([0, 1, 2, 3]),
            "clicked": pd.array([True, True, False, True], "boolean"),
            "outcome_at": [START + HOUR, START + 5 * HOUR, pd.NaT, START + 4 * HOUR],
        }
    )
    result = select_matured(rows, 2 * HOUR, START + 4 * HOUR)
    assert result.rows["reward"].tolist() == [1, 0, 0]  # in time, too late, none
    assert (result.immature, result.late) == (1, 1)  # the last is clicked, but young


def test_without_times_of_clicks_every_known_click_counts() -> None:
    rows = pd.DataFrame({"timestamp": [START, START], "clicked": [True, False]})
    assert select_matured(rows, HOUR, START + HOUR).rows["reward"].tolist() == [1, 0]


def test_looking_early_does_not_lower_the_rate() -> None:
    setting = Config(rate=0.3, wear_out=0.0, drift=0.0, delay_hours=5.0)
    log = World(setting, 0).log(lambda s: np.full(s.rate.shape, 1 / s.rate.shape[1]), 20_000)  # 20 hours
    impressions, now = log.frame(), START + pd.Timedelta(hours=20)
    known = impressions["clicked"] & (impressions["outcome_at"] <= now)
    result = select_matured(impressions.assign(clicked=known), pd.Timedelta(hours=10), now)
    in_time = 0.3 * (1 - np.exp(-10 / 5))
    assert len(result.rows) + result.immature == 20_000
    assert result.rows["reward"].mean() == pytest.approx(in_time, abs=0.015)
    assert known.mean() < in_time - 0.02


def test_a_negative_maturity_is_refused() -> None:
    with pytest.raises(DataError, match="maturity: -1 days"):
        select_matured(pd.DataFrame(), pd.Timedelta(days=-1), START)
