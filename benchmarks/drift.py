"""Measure drift detection in the simulated world: false alarms without drift, and power on planted shifts.

    python benchmarks/drift.py

A run compares two logs of 5,000 impressions by the same 2,000 users, the purchases of two draws of 1,000 customers, and
two sets of 300 embeddings, as one family of tests. Without drift, at most 5 % of the runs may raise an alarm, also
without the limits on the size of a change. Each planted shift must raise its alarm in at least 90 % of its runs.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.config.drift import Drift
from adloom.drift.click_rate import ClickRates
from adloom.drift.detection import Detection, detect
from adloom.drift.features import Feature
from adloom.drift.impressions import build_features, read_period
from adloom.drift.models import CreativeFeatures, UserFeatures, build_creative_features, build_user_features
from adloom.world.purchases import WEEKS, draw_purchases
from adloom.world.simulator import Config, Contexts, Log, World

RUNS, SHIFTED_RUNS = 500, 100
ROWS, CUSTOMERS, PICTURES, DIMENSIONS = 5_000, 1_000, 300, 64
MAX_ALARMS, MIN_POWER = 0.05, 0.9
CONFIG = Config(rate=0.05, wear_out=0.0, drift=0.0, delay_hours=0.2, bots=20, bot_share=0.05)
DEFAULT = Drift(maturity_hours=1)
EVERY_SIZE = DEFAULT.model_copy(update={"min_psi": 0.0, "min_rate_change": 0.0})


@dataclass
class Market:
    """What is drawn for a period; a shift changes it before the second one."""

    world: World
    rng: np.random.Generator
    spending: float = 1.0
    creatives: AnyArray = field(default_factory=lambda: np.ones(CONFIG.creatives))  # weights of the decisions
    style: float = 0.0  # shift of a quarter of the dimensions of embeddings

    def decide(self, contexts: Contexts) -> AnyArray:
        """Return probabilities of creatives that depend on nothing."""
        return np.broadcast_to(self.creatives / self.creatives.sum(), contexts.rate.shape).copy()

    def draw_users(self) -> UserFeatures:
        """Return customers with their purchase features."""
        purchases = draw_purchases(CUSTOMERS, int(self.rng.integers(2**31)))
        rows = pd.DataFrame({"user": purchases.user, "week": purchases.week, "value": purchases.value * self.spending})
        users = rows.groupby("user")
        first, last, count = users["week"].min(), users["week"].max(), users.size()
        gap = (last - first) / (count - 1).where(count > 1)
        values = np.column_stack([WEEKS - last, count, users["value"].sum(), WEEKS - first, gap])
        ids = pd.Series(count.index.astype(str) + f"-{self.rng.integers(2**31)}")
        return UserFeatures(ids, values, purchases.segment_of[count.index].astype(str).astype(object))

    def draw_creatives(self) -> CreativeFeatures:
        """Return creatives of two categories with embeddings."""
        category = self.rng.choice(np.array(["Bag", "Coat"], object), PICTURES)
        embedding = self.rng.normal(size=(PICTURES, DIMENSIONS)) + (category == "Bag")[:, None]
        embedding[:, : DIMENSIONS // 4] += self.style
        return CreativeFeatures(category, category, embedding)


def move_users(market: Market) -> None:
    """Move half of the users of segment 0 to segment 1."""
    members = np.flatnonzero(market.world.segment_of == 0)
    market.world.segment_of[members[::2]] = 1


def halve_click_rates(market: Market) -> None:
    """Halve all click rates, with the same users and creatives."""
    market.world.rates *= 0.5


def raise_spending(market: Market) -> None:
    """Let every purchase cost half as much again."""
    market.spending = 1.5


def withdraw_creatives(market: Market) -> None:
    """Stop showing two of eight creatives."""
    market.creatives[:2] = 0


def change_style(market: Market) -> None:
    """Change a quarter of the dimensions of the embeddings by 0.8 standard deviations."""
    market.style = 0.8


SHIFTS: dict[str, tuple[Callable[[Market], None], str]] = {  # shift: what does it, and the feature that shows it
    "segment mix": (move_users, "ctx_segment"),
    "click rates": (halve_click_rates, "click rate"),
    "spending": (raise_spending, "monetary"),
    "creatives shown": (withdraw_creatives, "creative_id"),
    "style of creatives": (change_style, "embedding"),
}


@dataclass(frozen=True)
class Comparison:
    """The features of a run, and what is true of the second period."""

    features: list[Feature]
    click_rates: ClickRates | None
    truth: float  # expected click rate of the second period

    def detect(self, params: Drift) -> Detection:
        """Return what has drifted."""
        return detect(self.features, self.click_rates, {}, {}, params)

    @property
    def covers(self) -> bool:
        """Whether the interval of the click rate, estimated without clicks, contains the truth."""
        rates = self.click_rates
        return rates is not None and rates.low <= self.truth <= rates.high


def compare(seed: int, shift: Callable[[Market], None] | None = None) -> Comparison:
    """Draw two periods, and shift the market between them."""
    market = Market(World(CONFIG, seed), np.random.default_rng([seed, 1]))
    before = market.world.log(market.decide, ROWS).frame(), market.draw_users(), market.draw_creatives()
    if shift:
        shift(market)
    log = market.world.log(market.decide, ROWS)
    reference, current = (read_period([frame], len(frame)) for frame in (before[0], log.frame()))
    features, rates = build_features(reference, current, pd.Timedelta(hours=DEFAULT.maturity_hours))
    features += build_user_features(before[1], market.draw_users())
    features += build_creative_features(before[2], market.draw_creatives())
    return Comparison(features, rates, expect_clicks(log))


def expect_clicks(log: Log) -> float:
    """Return the expected clicks per impression of what was shown."""
    user, rows = log.contexts.user, np.arange(len(log.action))
    of_bots = np.where(log.action == user % CONFIG.creatives, CONFIG.bot_rate, 0.0)
    return float(np.where(user < CONFIG.bots, of_bots, log.contexts.rate[rows, log.action]).mean())


def main() -> int:
    runs = [compare(seed) for seed in range(RUNS)]
    alarms, significant = (
        np.mean([bool(run.detect(params).alarms) for run in runs]) for params in (DEFAULT, EVERY_SIZE)
    )
    print(f"no drift: {alarms:.1%} of {RUNS} runs raise an alarm; {significant:.1%} without limits on the size")
    print(f"click rate estimated without clicks: its 95 % interval covers {np.mean([r.covers for r in runs]):.1%}")
    powers = []
    for name, (shift, feature) in SHIFTS.items():
        shifted = [compare(seed, shift) for seed in range(SHIFTED_RUNS)]
        found = [any(alarm.feature == feature for alarm in run.detect(DEFAULT).alarms) for run in shifted]
        powers.append(np.mean(found))
        covered = np.mean([run.covers for run in shifted])
        print(f"{name:20} {powers[-1]:6.0%} found, by {feature:18} interval covers {covered:.0%}", flush=True)
    return int(max(alarms, significant) > MAX_ALARMS or min(powers) < MIN_POWER)


if __name__ == "__main__":
    sys.exit(main())
