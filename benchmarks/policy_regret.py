"""Measure the regret of ways to adapt a policy over 24 simulated hours.

    python benchmarks/policy_regret.py                     # about ten minutes; prints a table
    python benchmarks/policy_regret.py --plot regret.png   # also draws the mean cumulative regret

Each world has eight hours of uniform decisions, from which the first policy is trained; then every strategy serves
the same 24 hours. Half of the creatives start with them, so that the first policy does not know them. Clicks arrive two
hours late on average. Regret is the clicks lost to an oracle that knows every click rate.
"""

import argparse
import copy
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.config.audience import Exploration
from adloom.data.context import SEPARATOR
from adloom.evaluation import figures
from adloom.policy import model_selection
from adloom.policy.models import Categories
from adloom.policy.refresh import read_weighted, refresh_policy
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.policy.statistics import HELD_OUT, ImpressionStatistics
from adloom.world.simulator import Config, Contexts, Log, World, creative_id

HOURS, WARM_UP = 24, 8
MICROSECONDS = 3.6e9  # per hour
CLICK_HOURS = 6
PENALTY, TEMPERATURE, FLOOR, MAX_DIVERGENCE = 0.3, 0.25, 0.002, 0.05
STRATEGIES: dict[str, Exploration] = {
    "uniform": "softmax",
    "retrain daily": "softmax",
    "refresh hourly": "softmax",
    "refresh hourly, Thompson": "thompson",
    "refresh hourly, lift > 0": "softmax",
    "refresh hourly, Thompson, lift > 0": "thompson",
}  # and their exploration; "lift > 0" publishes a refresh only if its estimated lift is positive
CONFIG = Config(rate=0.03, creatives=10, segments=3, users=20_000, spread=0.6, wear_out=0.0, per_hour=3000)
OLD = CONFIG.creatives // 2  # creatives that run from the start
NAMES = [creative_id(i) for i in range(CONFIG.creatives)]


@dataclass
class Reader:
    """Turns a simulated log into increments; clicks are read once the clock has reached them."""

    statistics: ImpressionStatistics
    rows: int = 0
    waiting: pd.DataFrame | None = None

    def add(self, log: Log, running: int, now: float) -> None:
        """Add an hour of impressions, and the clicks that have arrived."""
        hour, contexts = log.contexts.hour.astype(int), log.contexts
        key = np.arange(self.rows, self.rows + len(hour))
        self.rows += len(hour)
        shown = pd.DataFrame(
            {
                "key": key,
                "hour": hour,
                "time": (contexts.hour * MICROSECONDS).astype(np.int64),
                "user": contexts.user,
                "placement": np.char.add("p", contexts.placement.astype(str)),
                "position": 1,
                "creative_id": np.array(NAMES)[log.action],
                "candidates": SEPARATOR.join(NAMES[:running]),
                "propensity": log.propensity,
                "held_out": contexts.user % HELD_OUT == 0,
                "ctx_interest": np.char.add("s", contexts.segment.astype(str)),
            }
        )
        clicks = pd.DataFrame({"key": key, "kind": "click", "hour": log.outcome_hour})[log.clicked]
        clicks["time"] = (clicks["hour"] * MICROSECONDS).astype(np.int64)
        waiting = clicks if self.waiting is None else pd.concat([self.waiting, clicks])
        here = waiting["hour"] <= now
        self.waiting = waiting[~here]
        self.statistics = self.statistics.add(shown, waiting[here].astype({"hour": int}), CLICK_HOURS)


def serve(policy: Policy | None, contexts: Contexts, running: int) -> AnyArray:
    """Return the policy's probabilities of the running creatives (rows, creatives)."""
    chances = np.zeros((len(contexts), CONFIG.creatives))
    chances[:, :running] = 1 / running
    if policy is not None:
        cells, index = np.unique(np.stack([contexts.placement, contexts.segment]), axis=1, return_inverse=True)
        contexts_of = [{"placement": f"p{p}", "position": "1", "ctx_interest": f"s{s}"} for p, s in cells.T]
        requests = [ScoringRequest(context, NAMES[:running]) for context in contexts_of]
        chances[:, :running] = np.array(policy.scorer.probabilities(requests))[index.ravel()]
    return chances


def train(statistics: ImpressionStatistics, exploration: Exploration) -> Policy:
    """Train the first policy."""
    data = read_weighted(statistics.to_impressions())
    policy = model_selection.fit_model(data, "linear", Categories(), PENALTY, exploration)
    return replace(policy, temperature=1.0 if exploration == "thompson" else TEMPERATURE, floor=FLOOR)


def warm_up(seed: int) -> tuple[World, Reader]:
    """Return a world after a day of uniform decisions among the old creatives, and what was read of it."""
    world, reader = World(CONFIG, seed), Reader(ImpressionStatistics.empty())
    contexts = world.next_contexts(WARM_UP * int(CONFIG.per_hour))
    reader.add(world.serve(contexts, serve(None, contexts, OLD)), OLD, WARM_UP)
    return world, reader


def play(strategy: str, world: World, reader: Reader) -> tuple[AnyArray, Counter[str]]:
    """Return the regret of each hour, and how many refreshes were published while truly better or worse."""
    policy = None if strategy == "uniform" else train(reader.statistics, STRATEGIES[strategy])
    regret, verdicts = np.zeros(HOURS), Counter[str]()
    for hour in range(HOURS):
        contexts = world.next_contexts(int(CONFIG.per_hour))
        chances = serve(policy, contexts, CONFIG.creatives)
        regret[hour] = (contexts.rate.max(1) - (contexts.rate * chances).sum(1)).sum()
        if policy is None or strategy == "retrain daily":
            continue
        reader.add(world.serve(contexts, chances), CONFIG.creatives, WARM_UP + hour + 1.0)
        refreshed = refresh_policy(policy, reader.statistics, PENALTY, MAX_DIVERGENCE)
        gain = (contexts.rate * (serve(refreshed.policy, contexts, CONFIG.creatives) - chances)).sum()
        is_published = refreshed.verdict == "promote" and ("lift > 0" not in strategy or refreshed.lift > 0)
        verdicts[f"{'published' if is_published else 'not'}, {'better' if gain > 0 else 'worse'}"] += 1
        policy = refreshed.policy if is_published else policy
    return regret, verdicts


def main() -> None:
    """Print a table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    regrets: dict[str, list[AnyArray]] = {name: [] for name in STRATEGIES}
    verdicts = {name: Counter[str]() for name in STRATEGIES}
    for seed in range(options.seeds):
        start = warm_up(seed)
        for name in STRATEGIES:
            regret, counts = play(name, *copy.deepcopy(start))
            regrets[name].append(regret)
            verdicts[name] += counts
        print(seed, {name: round(parts[-1].sum()) for name, parts in regrets.items()}, flush=True)
    for name, line in describe(regrets).items():
        print(f"| {name} | {line} | {dict(sorted(verdicts[name].items()))} |")
    print(f"{time.process_time():.0f} CPU s")
    if options.plot:
        options.plot.write_bytes(draw(regrets))


def describe(regrets: Mapping[str, list[AnyArray]]) -> dict[str, str]:
    """Return each strategy's mean regret with its standard error, and its share of that of uniform decisions."""
    total = {name: np.array([regret.sum() for regret in parts]) for name, parts in regrets.items()}
    share = {name: values / total["uniform"] for name, values in total.items()}
    return {
        name: f"{values.mean():,.0f} ({values.std() / len(values) ** 0.5:,.0f}) | "
        f"{share[name].mean():.0%} | {np.mean([part[-1] for part in regrets[name]]):.0f}"
        for name, values in total.items()
    }


def draw(regrets: Mapping[str, list[AnyArray]]) -> bytes:
    """Draw the mean cumulative regret by hour, with two standard errors."""
    figure, ax = figures.create_axes(6.4, 3.8)
    for colour, (name, parts) in zip([figures.MUTED, *figures.COLOURS], regrets.items(), strict=False):
        values = np.pad(np.cumsum(parts, axis=1), ((0, 0), (1, 0)))
        middle, error = values.mean(0), 2 * values.std(0) / len(values) ** 0.5
        ax.plot(middle, color=colour, linewidth=1.8, label=name)
        ax.fill_between(range(HOURS + 1), middle - error, middle + error, color=colour, alpha=0.15, linewidth=0)
    ax.axhline(0, color=figures.MUTED, linestyle="--", linewidth=1, label="oracle")
    figures.set_labels(ax, "Clicks lost to the oracle", x="hours", y="clicks")
    figures.add_legend(ax)
    return figures.to_png(figure)


if __name__ == "__main__":
    main()
