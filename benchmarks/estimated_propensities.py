"""Coverage of doubly robust intervals with estimated propensities, in simulated worlds with known truth.

    python benchmarks/estimated_propensities.py [LOGS]    # LOGS per line, by default 300

Each log is another world of 10,000 impressions at a click rate of 5 %. Its logging policy depends on segment and placement,
changes by the day, or depends also on a segment that the log lacks. Two policies are evaluated: uniform, and nearly
always the best creative of each segment and placement.
"""

import argparse
from datetime import timedelta

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.data import contracts
from adloom.policy import model_selection
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.ope import estimators
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.propensity_model import estimate_propensities
from adloom.world.simulator import Config, Contexts, World

ROWS = 10_000
CONFIG = Config(rate=0.05, segments=4, placements=2, creatives=8, spread=0.5, delay_hours=0.01, per_hour=100.0)
LOGGING = ("by context", "by context and day", "by a hidden segment", "one creative per segment")


def draw_policy(kind: str, world: World, rng: np.random.Generator) -> "callable":
    """Return a logging policy."""
    table = rng.normal(0, 1, world.rates.shape)
    if kind == "one creative per segment":
        table = 20.0 * np.eye(8)[rng.integers(8, size=world.rates.shape[:2])]
    daily = rng.normal(0, 0.7, (5, 8)) if kind == "by context and day" else np.zeros((5, 8))

    def decide(now: Contexts) -> AnyArray:
        odds = np.exp(now.look_up(table) + daily[(now.hour // 24).astype(int) % 5])
        return odds / odds.sum(1, keepdims=True)

    return decide


def evaluate(data: Impressions, target: AnyArray, expected_rows: AnyArray) -> Estimate:
    """Estimate a policy (rows, creatives)."""
    log = model_selection.to_log(data, ["placement", "segment"] if "segment" in data.context else ["placement"])
    predicted = cross_fit(log.rates, clusters=log.clusters)
    expected = sum(predicted.predict(np.full(len(data), a)) * target[:, a] for a in range(target.shape[1]))
    chosen = target[np.arange(len(data)), data.shown]
    return estimators.doubly_robust(
        log.reward, log.propensity, chosen, predicted.predict(log.action), expected, 0.0, log.clusters
    )


def measure(kind: str, logs: int) -> None:
    rows = []
    for seed in range(logs):
        rng = np.random.default_rng([seed, 11])
        world = World(CONFIG, seed)
        log = world.log(draw_policy(kind, world, rng), ROWS)
        frame = log.frame().drop(columns="outcome_at")
        if kind == "by a hidden segment":
            frame = frame.drop(columns="ctx_segment")
        table, reasons = contracts.validate(frame, "impressions")
        assert (reasons == "").all()
        known, _ = read_impressions(lambda _: [table], timedelta(0))
        data = estimate_propensities(known)
        best = np.eye(8)[world.rates.argmax(2)] * 0.9 + 0.1 / 8
        for name, policy in (("uniform", np.full(world.rates.shape, 1 / 8)), ("best", best)):
            target = log.contexts.look_up(policy)
            truth = log.true_value(target)
            for source, impressions in (("logged", known), ("estimated", data)):
                result = evaluate(impressions, target, truth)
                rows.append((kind, name, source, result.value, result.low, result.high, truth, result.trustworthy))
    frame = pd.DataFrame(rows, columns="logging policy propensity value low high truth trusted".split())
    for (name, source), group in frame.groupby(["policy", "propensity"], sort=False):
        trusted = group[group["trusted"]]
        print(f"| {kind} | {name} | {source} | {len(trusted) / len(group):.0%} |", end="")
        for factor in (1.0, 1.25, 1.5):
            low = trusted["value"] - factor * (trusted["value"] - trusted["low"])
            high = trusted["value"] + factor * (trusted["high"] - trusted["value"])
            covered = (low <= trusted["truth"]) & (trusted["truth"] <= high)
            print(f" {covered.mean():.1%} |", end="")
        print(f" {((trusted['high'] - trusted['low']) / trusted['truth']).mean():.2f} | {(trusted['value']/trusted['truth']-1).mean():+.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="?", type=int, default=300)
    arguments = parser.parse_args()
    for kind in LOGGING:
        measure(kind, arguments.logs)


if __name__ == "__main__":
    main()
