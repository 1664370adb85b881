"""
Impressions, clicks and conversions in a small ad world with known truth.

Click rates depend on segment and placement, fall with each view (wear-out) and drift. Clicks and conversions arrive
late. Bots click by a rule of their own. Creatives may enter and leave by week.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, BoolArray, Int64Array

STEP = 2000  # impressions between updates of the view counts
HOUR = 3.6e9  # microseconds
HOURS_PER_DAY = 24.0
HOURS_PER_WEEK = 168.0
CONTENT_FEATURES = 16
VALUE_SPREAD = 0.7  # of the logarithm of a conversion's value
START = pd.Timestamp("2026-01-01", tz="UTC")


@dataclass(frozen=True)
class Config:
    """Parameters of a world."""

    rate: float = 0.02  # clicks per impression of uniform decisions, without wear-out
    segments: int = 4
    placements: int = 2
    creatives: int = 8
    users: int = 2000
    spread: float = 0.5  # standard deviation of creatives' log click rates within a segment and placement
    wear_out: float = 0.05  # share of a creative's click rate lost per view of the user
    drift: float = 0.2  # relative amplitude of the base rate, with period drift_hours
    drift_hours: float = 168.0
    delay_hours: float = 2.0  # mean time from impression to click, exponential
    per_hour: float = 1000.0  # impressions
    content: float = 0.0  # share of the variance of log click rates that contents explain
    daily: float = 0.0  # relative amplitude of the base rate within a day
    bots: int = 0  # users, the first ones, of which each clicks on one creative only
    bot_share: float = 0.0  # of the impressions
    bot_rate: float = 0.5  # clicks per impression of that creative
    conversion: float = 0.0  # conversions per click of a person
    conversion_hours: float = 6.0  # mean time from click to conversion, exponential
    conversion_value: float = 35.0  # median; the logarithm has the standard deviation VALUE_SPREAD
    running: int = 0  # creatives that run at a time, the first ones in the first week; 0: all
    rotation: int = 0  # running creatives that leave each week; the next ones enter, after the last the first


@dataclass(frozen=True)
class Contexts:
    """Impressions to decide on; only the world knows `rate`."""

    user: Int64Array
    segment: Int64Array
    placement: Int64Array
    hour: AnyArray  # since START
    rate: AnyArray  # (rows, creatives) click probabilities of people; 0 for bots and for creatives that do not run
    running: BoolArray  # (rows, creatives)

    def __len__(self) -> int:
        return len(self.user)

    def select(self, rows: BoolArray) -> "Contexts":
        """Return some rows."""
        return Contexts(**{field.name: getattr(self, field.name)[rows] for field in fields(Contexts)})

    @property
    def uniform(self) -> AnyArray:
        """Even probabilities of the running creatives (rows, creatives)."""
        return np.asarray(self.running / self.running.sum(1, keepdims=True))

    def look_up(self, table: AnyArray) -> AnyArray:
        """Return the rows (rows, creatives) of a table (segments, placements, creatives)."""
        return np.asarray(table[self.segment, self.placement])


@dataclass(frozen=True)
class Log:
    """Shown creatives with their propensities and outcomes."""

    contexts: Contexts
    action: Int64Array  # (rows,) the shown creative
    propensity: AnyArray  # (rows,) its probability
    clicked: BoolArray  # (rows,)
    outcome_hour: AnyArray  # (rows,) time of the click; NaN without one
    conversion_hour: AnyArray  # (rows,) NaN without one
    value: AnyArray  # (rows,) of the conversion; NaN without one

    @property
    def reward(self) -> AnyArray:
        """Clicks as floats (rows,)."""
        return self.clicked.astype(np.float64)

    def true_value(self, probabilities: AnyArray) -> float:
        """Return the exact value per impression, clicks of people, of a policy (rows, creatives) in this log."""
        return float((probabilities * self.contexts.rate).sum(1).mean())

    def frame(self, policy: str = "simulated", creatives: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the log as an impressions table, with the ids of its creatives."""
        contexts, rows = self.contexts, len(self.contexts)
        names = np.array(creatives or [creative_id(index) for index in range(contexts.rate.shape[1])])
        return pd.DataFrame(
            {
                "impression_id": [f"i{number:08}" for number in range(rows)],
                "timestamp": _to_timestamps(contexts.hour),
                "user_id": np.char.add("u", contexts.user.astype(str)),
                "placement": np.char.add("p", contexts.placement.astype(str)),
                "position": 1,
                "creative_id": names[self.action],
                "candidates": _list_candidates(names, contexts.running),
                "clicked": self.clicked,
                "propensity": self.propensity,
                "logging_policy": policy,
                "outcome_at": _to_timestamps(self.outcome_hour),
                "ctx_segment": np.char.add("s", contexts.segment.astype(str)),
                "conversions": np.isfinite(self.conversion_hour).astype(np.int64),
                "value": self.value,
            }
        )


Policy = Callable[[Contexts], AnyArray]  # probabilities (rows, creatives)


class World:
    """A world that is stepped forward, deterministically by seed."""

    def __init__(
        self, config: Config, seed: int, appeal: AnyArray | None = None, segment_of: Int64Array | None = None
    ) -> None:
        """Take log click rates (segments, placements, creatives) and the users' segments, or draw them."""
        self.config = config
        self._rng = np.random.default_rng(seed)
        self._hour = 0.0
        self.contents: AnyArray = np.zeros((config.creatives, 0))  # features of what creatives show and say
        taste = np.exp(self._draw_appeal() if appeal is None else appeal)
        drawn = self._rng.integers(config.segments, size=config.users)
        self.segment_of = drawn if segment_of is None else segment_of  # (users,)
        share = np.bincount(self.segment_of, minlength=config.segments) / config.users
        mean_taste = float((share[:, None, None] * taste).sum() / (config.placements * config.creatives))  # if uniform
        self.rates: AnyArray = np.minimum(taste * config.rate / mean_taste, 0.9)  # without wear-out and drift
        self.views = np.zeros((config.users, config.creatives), np.int64)
        self._share = share

    def _draw_appeal(self) -> AnyArray:
        config = self.config
        log_rate = self._rng.normal(0, config.spread, (config.segments, config.placements, config.creatives))
        if config.content:  # otherwise the draws of a seed stay what they were
            self.contents = self._rng.normal(size=(config.creatives, CONTENT_FEATURES))
            effect = self.contents @ self._rng.normal(0, config.spread / CONTENT_FEATURES**0.5, CONTENT_FEATURES)
            log_rate = (1 - config.content) ** 0.5 * log_rate + config.content**0.5 * effect
        return log_rate

    def exact_value(self, table: AnyArray) -> float:
        """Return the exact value of a table (segments, placements, creatives) without wear-out and drift."""
        return float((self._share[:, None] * (table * self.rates).sum(2)).sum() / self.config.placements)

    def next_contexts(self, rows: int) -> Contexts:
        """Return the next contexts and advance the time."""
        config = self.config
        user = self._rng.integers(config.users, size=rows)
        if config.bots:
            user = np.where(self._rng.random(rows) < config.bot_share, user % config.bots, user)
        placement = self._rng.integers(config.placements, size=rows)
        hour = self._hour + np.arange(rows) / config.per_hour
        self._hour += rows / config.per_hour
        segment = self.segment_of[user]
        swing = 1 + config.drift * np.sin(2 * np.pi * hour / config.drift_hours)
        swing *= 1 + config.daily * np.sin(2 * np.pi * hour / HOURS_PER_DAY)
        worn = (1 - config.wear_out) ** self.views[user]  # (rows, creatives)
        rate = np.minimum(self.rates[segment, placement] * worn * swing[:, None], 1.0)
        running = self._find_running(hour)
        rate[(user < config.bots)[:, None] | ~running] = 0.0
        return Contexts(user, segment, placement, hour, rate, running)

    def _find_running(self, hour: AnyArray) -> BoolArray:
        """Return which creatives run (rows, creatives)."""
        config = self.config
        if not config.running:
            return np.ones((len(hour), config.creatives), bool)
        first = (hour // HOURS_PER_WEEK).astype(np.int64) * config.rotation
        return np.asarray((np.arange(config.creatives) - first[:, None]) % config.creatives < config.running)

    def show(self, contexts: Contexts, action: Int64Array, propensity: AnyArray) -> Log:
        """Return the outcome of showing creatives (rows,) with these propensities (rows,)."""
        config, rows = self.config, np.arange(len(contexts))
        bot = contexts.user < config.bots
        of_bots = np.where(action == contexts.user % config.creatives, config.bot_rate, 0.0)
        clicked = self._rng.random(len(rows)) < np.where(bot, of_bots, contexts.rate[rows, action])
        hour = np.where(clicked, contexts.hour + self._rng.exponential(config.delay_hours, len(rows)), np.nan)
        np.add.at(self.views, (contexts.user, action), 1)
        return Log(contexts, action, propensity, clicked, hour, *self._convert(np.where(bot, np.nan, hour)))

    def _convert(self, click_hour: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Return the hours and values of conversions (rows,), NaN without one."""
        config, rows = self.config, len(click_hour)
        if not config.conversion:  # otherwise the draws of a seed stay what they were
            return np.full(rows, np.nan), np.full(rows, np.nan)
        converts = (self._rng.random(rows) < config.conversion) & np.isfinite(click_hour)
        hour = click_hour + self._rng.exponential(config.conversion_hours, rows)
        value = config.conversion_value * np.exp(self._rng.normal(0, VALUE_SPREAD, rows))
        return np.where(converts, hour, np.nan), np.where(converts, value.round(2), np.nan)

    def serve(self, contexts: Contexts, probabilities: AnyArray) -> Log:
        """Return the outcome of drawing from probabilities (rows, creatives)."""
        drawn = self._rng.random((len(contexts), 1)) * probabilities.sum(1, keepdims=True)
        action = np.minimum((probabilities.cumsum(1) <= drawn).sum(1), probabilities.shape[1] - 1)
        return self.show(contexts, action, probabilities[np.arange(len(action)), action])

    def log(self, policy: Policy, rows: int, step: int = STEP) -> Log:
        """Return a policy's log."""
        logs = []
        for start in range(0, rows, step):
            contexts = self.next_contexts(min(step, rows - start))
            logs.append(self.serve(contexts, policy(contexts)))
        return concatenate_logs(logs)


def concatenate_logs(logs: Sequence[Log]) -> Log:
    """Return consecutive logs as one."""
    contexts = {f.name: np.concatenate([getattr(log.contexts, f.name) for log in logs]) for f in fields(Contexts)}
    rest = {f.name: np.concatenate([getattr(log, f.name) for log in logs]) for f in fields(Log) if f.name != "contexts"}
    return Log(Contexts(**contexts), **rest)


def creative_id(index: int) -> str:
    """Return a creative's id."""
    return f"c{index:02}"


def _list_candidates(names: AnyArray, running: BoolArray) -> list[list[str]]:
    """Return the names of the running creatives (rows,)."""
    weeks, week = np.unique(running, axis=0, return_inverse=True)
    lists = [names[mask].tolist() for mask in weeks]
    return [lists[number] for number in week.ravel()]


def _to_timestamps(hour: AnyArray) -> pd.Series:
    offset = pd.Series(np.where(np.isnan(hour), 0, np.rint(hour * HOUR)).astype("timedelta64[us]"))
    return (START.tz_localize(None) + offset).dt.tz_localize("UTC").mask(np.isnan(hour)).astype("datetime64[us, UTC]")
