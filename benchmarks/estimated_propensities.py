"""Coverage of doubly robust intervals with estimated propensities, in simulated worlds with known truth.

    python benchmarks/estimated_propensities.py [LOGS]    # LOGS per line, by default 100

Each log is another world of 10,000 impressions over four days at a click rate of 5 %. Its logging policy depends on
segment and placement; also on the day; on a segment that the log lacks; or shows one creative per segment and
placement. Two policies are evaluated: uniform, and 0.9 on the best creative of each segment and placement.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

import numpy as np

from adloom.arrays import AnyArray
from adloom.data import contracts
from adloom.policy import model_selection
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.ope import estimators
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.propensity_model import estimate_propensities
from adloom.world.simulator import Config, Contexts, Policy, World

ROWS, DAYS, CREATIVES = 10_000, 5, 8
CONFIG = Config(rate=0.05, segments=4, creatives=CREATIVES, per_hour=100.0)
HIDDEN, FIXED = "by a hidden segment", "one creative per segment"
LOGGING = ("by context", "by context and day", HIDDEN, FIXED)
HEADER = "| logging policy | policy | propensities | trusted | covered | width / truth | error |\n" + "|---" * 7 + "|"


def draw_policy(kind: str, world: World, rng: np.random.Generator) -> Policy:
    """Return a logging policy."""
    table = rng.normal(0, 1, world.rates.shape)
    if kind == FIXED:
        table = 20.0 * np.eye(CREATIVES)[rng.integers(CREATIVES, size=world.rates.shape[:2])]
    daily = rng.normal(0, 0.7 if kind == "by context and day" else 0.0, (DAYS, CREATIVES))

    def decide(now: Contexts) -> AnyArray:
        odds = np.exp(now.look_up(table) + daily[(now.hour // 24).astype(int) % DAYS])
        return np.asarray(odds / odds.sum(1, keepdims=True))

    return decide


def estimate_value(data: Impressions, target: AnyArray, widened: bool) -> Estimate:
    """Estimate a policy (rows, creatives)."""
    log = model_selection.to_log(data, [name for name in ("placement", "segment") if name in data.context])
    predicted = cross_fit(log.rates, clusters=log.clusters)
    of_action = [predicted.predict(np.full(len(data), action)) for action in range(CREATIVES)]
    expected = (np.column_stack(of_action) * target).sum(1)
    chosen = target[np.arange(len(data)), data.shown]
    of_logged = predicted.predict(log.action)
    return estimators.doubly_robust(log.reward, log.propensity, chosen, of_logged, expected, 0.0, log.clusters, widened)


def evaluate_log(kind: str, seed: int) -> Iterator[tuple[str, str, Estimate, float]]:
    """Yield (policy, propensities, estimate, truth) of a log."""
    world = World(CONFIG, seed)
    log = world.log(draw_policy(kind, world, np.random.default_rng([seed, 11])), ROWS)
    frame = log.frame().drop(columns=["outcome_at", *(["ctx_segment"] if kind == HIDDEN else [])])
    rows, _ = contracts.validate(frame, "impressions")
    known, _ = read_impressions(lambda _: [rows], timedelta(0))
    estimated = estimate_propensities(known)
    best = 0.9 * np.eye(CREATIVES)[world.rates.argmax(2)] + 0.1 / CREATIVES
    for name, policy in (("uniform", np.full(world.rates.shape, 1 / CREATIVES)), ("best", best)):
        target = log.contexts.look_up(policy)
        truth = log.true_value(target)
        yield name, "logged", estimate_value(known, target, widened=False), truth
        yield name, "estimated, not widened", estimate_value(estimated, target, widened=False), truth
        yield name, "estimated", estimate_value(estimated, target, widened=True), truth


def measure(kind: str, logs: int) -> None:
    """Print the lines of a logging policy."""
    results = defaultdict(list)
    for seed in range(logs):
        for name, source, estimate, truth in evaluate_log(kind, seed):
            results[name, source].append((estimate, truth))
    for (name, source), pairs in results.items():
        trusted = [(estimate, truth) for estimate, truth in pairs if estimate.trustworthy]
        line = f"| {kind} | {name} | {source} | {len(trusted) / len(pairs):.0%} |"
        if trusted:
            covered = np.mean([estimate.low <= truth <= estimate.high for estimate, truth in trusted])
            width = np.mean([(estimate.high - estimate.low) / truth for estimate, truth in trusted])
            error = np.mean([estimate.value / truth - 1 for estimate, truth in trusted])
            line += f" {covered:.1%} | {width:.2f} | {error:+.1%} |"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="?", type=int, default=100)
    arguments = parser.parse_args()
    print(HEADER)
    for kind in LOGGING:
        measure(kind, arguments.logs)


if __name__ == "__main__":
    main()
