"""
A small ad world whose truth is known: to prove estimators and gates on, and to close the loop of serving in a test.

Users belong to segments and come to placements at random. A creative's click rate depends on segment and placement,
falls with every time the user has seen it (wear-out), and rides on a base rate that drifts. Clicks come late. The world
is stepped: situations arrive, something decides what to show, the world answers with clicks.

    world = World(Setting(rate=0.02), seed=1)
    log = world.log(lambda situations: situations.look_up(table), rows=10_000)
    log.value(probabilities)  # what a policy earns in the log's own situations, exactly
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, BoolArray, Int64Array

STEP = 2000  # impressions between which views are counted up
HOUR = 3.6e9  # microseconds
START = pd.Timestamp("2026-01-01", tz="UTC")


@dataclass(frozen=True)
class Config:
    """What a world is like."""

    rate: float = 0.02  # clicks per impression of uniform decisions, before wear-out
    segments: int = 4
    placements: int = 2
    creatives: int = 8
    users: int = 2000
    spread: float = 0.5  # standard deviation of log click rates between creatives within a segment and placement
    wear_out: float = 0.05  # share of a creative's click rate that is lost each time the user has seen it
    drift: float = 0.2  # the base rate swings by this share up and down, once in drift_hours
    drift_hours: float = 168.0
    delay_hours: float = 2.0  # mean time from impression to click, exponential
    per_hour: float = 1000.0  # impressions


@dataclass(frozen=True)
class Contexts:
    """Impressions to decide on: all (rows,) but the rates, which only the world knows."""

    user: Int64Array
    segment: Int64Array
    placement: Int64Array
    hour: AnyArray  # since START
    rate: AnyArray  # (rows, creatives), chance of a click on each creative, in [0, 1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.user)

    def look_up(self, table: AnyArray) -> AnyArray:
        """Return the rows (rows, creatives) of a policy given as a table (segments, placements, creatives)."""
        return np.asarray(table[self.segment, self.placement])


@dataclass(frozen=True)
class Log:
    """What was shown, with which probability, and what came of it."""

    situations: Contexts
    action: Int64Array  # (rows,), the creative shown
    propensity: AnyArray  # (rows,), its probability
    clicked: BoolArray  # (rows,)
    outcome_hour: AnyArray  # (rows,), when the click came; NaN without one

    @property
    def reward(self) -> AnyArray:
        """Clicks as numbers (rows,)."""
        return self.clicked.astype(np.float64)

    def value(self, probabilities: AnyArray) -> float:
        """
        Return what a policy (rows, creatives) earns per impression in the situations of this log: exact, no sampling.

        It is what an off-policy estimate from this log estimates. The situations are those the logging policy led to:
        its views have worn the creatives out.
        """
        return float((probabilities * self.situations.rate).sum(1).mean())

    def frame(self, policy: str = "simulated") -> pd.DataFrame:
        """Return the log as the impressions table's contract has it."""
        now, rows = self.situations, len(self.situations)
        names = np.array([creative_id(index) for index in range(now.rate.shape[1])])
        return pd.DataFrame(
            {
                "impression_id": [f"i{number:08}" for number in range(rows)],
                "timestamp": _to_timestamps(now.hour),
                "user_id": np.char.add("u", now.user.astype(str)),
                "placement": np.char.add("p", now.placement.astype(str)),
                "position": 1,
                "creative_id": names[self.action],
                "candidates": [list(names)] * rows,
                "clicked": self.clicked,
                "propensity": self.propensity,
                "logging_policy": policy,
                "outcome_at": _to_timestamps(self.outcome_hour),
                "ctx_segment": np.char.add("s", now.segment.astype(str)),
            }
        )


Policy = Callable[[Contexts], AnyArray]  # probabilities (rows, creatives)


class World:
    """A world that is stepped forward; equal seeds and equal decisions lead to equal worlds."""

    def __init__(self, setting: Config, seed: int) -> None:
        """Draw segments, tastes and users."""
        self.setting = setting
        self._rng = np.random.default_rng(seed)
        self._hour = 0.0
        shape = (setting.segments, setting.placements, setting.creatives)
        taste = np.exp(self._rng.normal(0, setting.spread, shape))
        self.segment_of = self._rng.integers(setting.segments, size=setting.users)  # (users,)
        share = np.bincount(self.segment_of, minlength=setting.segments) / setting.users
        self.rates: AnyArray = np.minimum(
            taste * setting.rate / _mean_taste(share, taste), 0.9
        )  # without wear-out and drift
        self.views = np.zeros((setting.users, setting.creatives), np.int64)
        self._share = share

    def exact(self, table: AnyArray) -> float:
        """
        Return the value of a policy given as a table (segments, placements, creatives), without wear-out and drift.

        A sum over the finite world: the share of each segment, times 1 / placements, times probability and rate.
        """
        return float((self._share[:, None] * (table * self.rates).sum(2)).sum() / self.setting.placements)

    def arrive(self, rows: int) -> Contexts:
        """Return the next situations; time goes on."""
        setting = self.setting
        user = self._rng.integers(setting.users, size=rows)
        placement = self._rng.integers(setting.placements, size=rows)
        hour = self._hour + np.arange(rows) / setting.per_hour
        self._hour += rows / setting.per_hour
        segment = self.segment_of[user]
        swing = 1 + setting.drift * np.sin(2 * np.pi * hour / setting.drift_hours)
        worn = (1 - setting.wear_out) ** self.views[user]  # (rows, creatives)
        rate = np.minimum(self.rates[segment, placement] * worn * swing[:, None], 1.0)
        return Contexts(user, segment, placement, hour, rate)

    def show(self, situations: Contexts, action: Int64Array, propensity: AnyArray) -> Log:
        """Return what comes of showing creatives (rows,), which somebody else drew with these propensities (rows,)."""
        rows = np.arange(len(situations))
        clicked = self._rng.random(len(rows)) < situations.rate[rows, action]
        late = situations.hour + self._rng.exponential(self.setting.delay_hours, len(rows))
        np.add.at(self.views, (situations.user, action), 1)
        return Log(situations, action, propensity, clicked, np.where(clicked, late, np.nan))

    def serve(self, situations: Contexts, probabilities: AnyArray) -> Log:
        """Return what comes of drawing from probabilities (rows, creatives)."""
        drawn = self._rng.random((len(situations), 1)) * probabilities.sum(1, keepdims=True)
        action = np.minimum((probabilities.cumsum(1) <= drawn).sum(1), probabilities.shape[1] - 1)
        return self.show(situations, action, probabilities[np.arange(len(action)), action])

    def log(self, policy: Policy, rows: int, step: int = STEP) -> Log:
        """Return a policy's log; views are counted up after every `step` impressions."""
        made = []
        for start in range(0, rows, step):
            situations = self.arrive(min(step, rows - start))
            made.append(self.serve(situations, policy(situations)))
        return concatenate_logs(made)


def concatenate_logs(logs: Sequence[Log]) -> Log:
    """Return logs, one after the other, as one."""
    now = {f.name: np.concatenate([getattr(log.situations, f.name) for log in logs]) for f in fields(Contexts)}
    rest = {
        f.name: np.concatenate([getattr(log, f.name) for log in logs]) for f in fields(Log) if f.name != "situations"
    }
    return Log(Contexts(**now), **rest)


def creative_id(index: int) -> str:
    """Return the id of a creative."""
    return f"c{index:02}"


def _mean_taste(share: AnyArray, taste: AnyArray) -> float:
    """Return the mean taste (segments, placements, creatives) under uniform decisions."""
    return float((share[:, None, None] * taste).sum() / (taste.shape[1] * taste.shape[2]))


def _to_timestamps(hour: AnyArray) -> pd.Series:
    whole = pd.Series(np.where(np.isnan(hour), 0, np.rint(hour * HOUR)).astype("timedelta64[us]"))
    return (START.tz_localize(None) + whole).dt.tz_localize("UTC").mask(np.isnan(hour)).astype("datetime64[us, UTC]")
