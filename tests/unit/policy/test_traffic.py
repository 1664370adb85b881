"""Robots, and users with too many of the clicks, move no refresh."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.support.log_statistics import click_rows, shown_rows
from tests.support.simulated_logs import UNIFORM

from adloom.config.params import InvalidTraffic
from adloom.data.context import SEPARATOR
from adloom.decision_log.increments import HOUR
from adloom.policy.refresh import refresh_policy
from adloom.policy.scorer import Policy
from adloom.policy.statistics import ImpressionStatistics
from adloom.policy.traffic import TrafficRules
from adloom.world.simulator import Config, World

SECOND = 1_000_000
CAP_ALONE = TrafficRules(InvalidTraffic(impressions_per_hour=None, clicks_per_minute=None), 0.05)
CONFIG = Config(
    rate=0.05, segments=3, placements=2, creatives=5, wear_out=0.0, spread=0.8, delay_hours=0.01,
    bots=1, bot_share=0.5, bot_rate=0.25,
)  # fmt: skip


def log_world(seed: int, rows: int = 12_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the impressions and clicks of uniform decisions; user 0, a bot, has about half of all clicks."""
    frame = World(CONFIG, seed).log(lambda now: now.look_up(UNIFORM), rows).frame()
    time = frame["timestamp"].astype("int64")
    shown = frame[["placement", "position", "creative_id", "propensity", "ctx_segment"]].assign(
        key=np.arange(rows),
        hour=time // HOUR,
        time=time,
        user=frame["user_id"].str[1:].astype(int),
        held_out=frame["user_id"].str[1:].astype(int) % 5 == seed % 5,
        candidates=frame["candidates"].map(SEPARATOR.join),
    )
    return shown, click_rows(np.flatnonzero(frame["clicked"]).tolist(), shown.loc[frame["clicked"], "hour"].tolist())


def create_champion() -> Policy:
    names = tuple(f"c{i:02}" for i in range(5))
    zeros, none = np.zeros(5, np.float32), np.zeros(1, np.float32)
    return Policy(names, np.zeros(5, np.int64), (), zeros, (), (), (), none, floor=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])  # the bot is held out, and trains
@pytest.mark.parametrize("hours", [24, 3])  # all hours stay open, or most of them close
def test_a_bot_with_half_of_the_clicks_moves_no_refresh(seed: int, hours: int) -> None:
    shown, clicks = log_world(seed)
    person = shown["user"] != 0
    assert clicks["key"].isin(shown.loc[~person, "key"]).mean() > 0.45
    statistics, people = ImpressionStatistics.empty(), ImpressionStatistics.empty()
    for part in np.array_split(np.arange(len(shown)), 12):
        now = clicks[clicks["key"].isin(part)]
        statistics = statistics.add(shown.iloc[part], now, hours, CAP_ALONE)
        people = people.add(shown.iloc[part][person.iloc[part]], now[person[now["key"]].to_numpy()], hours)
    results = [
        refresh_policy(create_champion(), one, 1.0, 0.05)
        for one in (statistics.leave_out(statistics.find_invalid(CAP_ALONE)), people)
    ]
    assert results[0].policy.bias.tolist() == results[1].policy.bias.tolist()
    assert results[0].reasons == results[1].reasons
    assert refresh_policy(create_champion(), statistics, 1.0, 0.05).reasons != results[0].reasons


def find_invalid(user: Sequence[int], clicked: Sequence[int], seconds: Sequence[int], rules: TrafficRules) -> list[int]:
    """Return the keys of the impressions that are left out."""
    times = 100 * HOUR + np.array(seconds) * SECOND
    shown = shown_rows(range(len(user)), user=user, time=times, hour=times // HOUR)
    clicks = click_rows(clicked).assign(time=times[list(clicked)])
    statistics = ImpressionStatistics.empty().add(shown, clicks, 9)
    return np.flatnonzero(statistics.find_invalid(rules)).tolist()


@pytest.mark.slow
def test_the_rules_of_prepare_hold_for_open_impressions() -> None:
    rules = TrafficRules(InvalidTraffic(impressions_per_hour=4, clicks_per_minute=2), 0.99)
    assert find_invalid([7] * 5 + [8] * 4, [], range(9), rules) == [0, 1, 2, 3, 4]
    assert find_invalid([7] * 5, [], [0, 0, 0, 0, 3600], rules) == []  # in two hours
    assert find_invalid([7] * 4 + [8] * 4, [0, 1, 2, 4, 5, 6], [0, 20, 40, 50, 0, 40, 80, 90], rules) == [0, 1, 2, 3]
    assert find_invalid([-1] * 9, range(9), [0] * 9, rules) == []


def test_a_share_of_the_clicks_is_that_of_the_trained_or_of_the_held_out_users() -> None:
    user = [1] * 10 + [2] * 10 + list(range(10, 190))
    shown = shown_rows(range(200), user=user, held_out=[False] * 10 + [True] * 10 + [False] * 180)
    statistics = ImpressionStatistics.empty().add(shown, click_rows([*range(200)]), 9)
    rules = replace(CAP_ALONE, max_user_share=0.06)
    assert not statistics.find_invalid(rules).any()  # user 2 has all held-out clicks, user 1 has 10 of 190
    more = statistics.add(shown_rows([200, 201], user=3, held_out=True), click_rows([200, 201]), 9)
    assert np.flatnonzero(more.find_invalid(rules)).tolist() == list(range(10, 20))
    left = more.leave_out(more.find_invalid(rules))
    assert (left.impressions, left.clicks, len(left.pending)) == (192, 192, 192)
