"""Compare engines for the contextual model, scikit-learn and vowpalwabbit, by the value of their policies.

    adloom ingest && adloom prepare && python benchmarks/policy.py     (pip install vowpalwabbit)

In the simulator, policies are trained on the log of a skewed policy; the result is the share of the possible gain over
uniform decisions, averaged over worlds. On the Open Bandit log, the result is the doubly robust click rate on the last
third of the calibration period. Temperature and penalty or learning rate are selected there by the highest lower bound.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from adloom.arrays import Int64Array
from adloom.config.audience import TrainPolicy
from adloom.policy import fit, impressions, model_selection, models
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.models import Categories
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.scorer import Policy
from adloom.storage import parquet
from adloom.world.simulator import Config, World

PARAMS = TrainPolicy(temperatures=[1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125], floor=0.0, maturity_hours=12)
WORLDS, ROWS = 8, 30_000
RATES = (0.005, 0.02, 0.05)
MAX_WEIGHT = 20.0  # limit of importance weights
LEARNING_RATES = (0.05, 0.5)
EARLY_SHARE = 2 / 3  # of the time, to fit on

Fit = Callable[[Impressions, float], Policy]


def fit_regression(data: Impressions, penalty: float) -> Policy:
    return fit.fit_linear(data, Categories(), penalty).to_policy(data)


def fit_weighted_regression(data: Impressions, penalty: float) -> Policy:
    """Fit the regression with importance-weighted rows."""
    counts = np.diff(data.sets.starts)[data.offered]
    weight = np.minimum(1 / (data.propensity * counts), MAX_WEIGHT)
    design = fit.Design(FeatureSpace.from_impressions(data), Categories(), data.creatives)
    result = LogisticRegression(C=penalty, tol=1e-6, max_iter=1000)
    result.fit(design.matrix(data), data.reward, weight / weight.mean())
    return fit.LinearModel(design, result.coef_[0], 0.0, penalty).to_policy(data)


def fit_vowpal(kind: str) -> Fit:
    """Return a fit by vowpalwabbit's contextual bandit with action-dependent features."""

    def train(data: Impressions, rate: float) -> Policy:
        from vowpalwabbit import Workspace  # noqa: PLC0415 - not a dependency of adloom

        engine = Workspace(f"--cb_adf --cb_type {kind} --noconstant -b 22 --quiet -l {rate}")
        space = FeatureSpace.from_impressions(data)
        rows, width = space.row_indices(data), len(data.creatives)
        for example in to_examples(data, space, rows):
            engine.learn(example)
        sizes = [len(values) + 1 for values in space.values]
        predicted = np.array(engine.predict(["shared |s x", *(f"|f {i}" for i in range(width * (1 + sum(sizes))))]))
        engine.finish()
        bias, *weights = np.split(
            -predicted / data.reward.mean(), np.cumsum([width, *(size * width for size in sizes)])[:-1]
        )
        tables = [weight.reshape(size, width) for weight, size in zip(weights, sizes, strict=True)]
        own = bias - bias.mean()
        return models.build_policy(data, Categories(), space, own, [t - t.mean() for t in tables], np.zeros(1))

    return train


def to_examples(data: Impressions, space: FeatureSpace, rows: list[Int64Array]) -> Iterator[list[str]]:
    """Yield a multi-line example per impression; numeric features are not hashed."""
    width = len(data.creatives)
    starts = np.cumsum([width, *((len(values) + 1) * width for values in space.values)])
    for i in range(len(data)):
        bases = [int(start + row[i] * width) for start, row in zip(starts, rows, strict=False)]
        cost = f"0:{-data.reward[i]:g}:{data.propensity[i]:.8f} "
        lines = [
            f"{cost if a == data.shown[i] else ''}|f {a} {' '.join(str(base + a) for base in bases)}"
            for a in data.sets[data.offered[i]].tolist()
        ]
        yield ["shared |s x", *lines]


ENGINES: dict[str, tuple[Fit, tuple[float, ...]]] = {
    "scikit-learn, logistic regression": (fit_regression, fit.PENALTIES),
    "the same, importance-weighted": (fit_weighted_regression, fit.PENALTIES),
    "vowpalwabbit cb_adf mtr": (fit_vowpal("mtr"), LEARNING_RATES),
    "vowpalwabbit cb_adf dr": (fit_vowpal("dr"), LEARNING_RATES),
    "smoothed rates": (lambda data, _: models.fit_rates(data, Categories()), (0.0,)),
}


class Candidate(NamedTuple):
    temperature: float
    setting: float
    value: Estimate


def select_candidate(data: Impressions, train: Fit, settings: tuple[float, ...]) -> Candidate:
    """Return the setting and temperature with the highest lower end on the last third."""
    early, late = data.split(EARLY_SHARE)
    log = model_selection.to_log(late)
    predicted = cross_fit(log.rates, seed=PARAMS.seed, clusters=log.clusters)
    result = []
    for value in settings:
        policy = train(early, value)
        for temperature in PARAMS.temperatures:
            policy = replace(policy, temperature=temperature)
            estimate = model_selection.estimate_value(policy, late, log, predicted)
            result.append(Candidate(temperature, value, estimate))
    reliable = [candidate for candidate in result if candidate.value.trustworthy] or result[:1]
    return max(reliable, key=lambda candidate: candidate.value.low)


def relative_gain(world: World, policy: Policy) -> float:
    """Return the share of the possible gain over uniform decisions."""
    config = world.config
    ids = [f"c{i:02}" for i in range(config.creatives)]
    table = np.array([
        [policy.probabilities({"placement": f"p{p}", "position": "1", "segment": f"s{s}"}, ids)
         for p in range(config.placements)] for s in range(config.segments)
    ])  # fmt: skip
    even = world.exact_value(np.full_like(table, 1 / config.creatives))
    greedy = (world.rates == world.rates.max(2, keepdims=True)).astype(float)
    return (world.exact_value(table) - even) / (world.exact_value(greedy) - even)


def simulate(rate: float, seed: int) -> tuple[World, Impressions]:
    world = World(Config(rate=rate, wear_out=0.0), seed)
    odds = np.exp(np.random.default_rng(seed).normal(0, 1, world.rates.shape))  # of a random policy
    table = 0.9 * odds / odds.sum(2, keepdims=True) + 0.1 / odds.shape[2]
    frame = world.log(lambda contexts: contexts.look_up(table), ROWS).frame()
    data, _ = impressions.read_impressions(lambda _: [frame], timedelta(hours=PARAMS.maturity_hours))
    return world, data


def print_simulator() -> None:
    print(f"\nshare of the possible gain, mean of {WORLDS} worlds of {ROWS:,} impressions (error), seconds per fit")
    print(f"{'engine':36}" + "".join(f"{f'click rate {rate:.1%}':>22}" for rate in RATES))
    logs = {rate: [simulate(rate, seed) for seed in range(WORLDS)] for rate in RATES}
    for name, (train, settings) in ENGINES.items():
        cells = []
        for rate in RATES:
            gains, start = [], time.perf_counter()
            for world, data in logs[rate]:
                chosen = select_candidate(data, train, settings)
                policy = train(data, chosen.setting)
                gains.append(relative_gain(world, replace(policy, temperature=chosen.temperature)))
            seconds = (time.perf_counter() - start) / WORLDS / (len(settings) + 1)
            cells.append(f"{np.mean(gains):6.3f} ({np.std(gains) / WORLDS**0.5:.3f}) {seconds:5.1f} s")
        print(f"{name:36}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def print_open_bandit(folder: Path) -> None:
    rows = parquet.read(folder, "calibration")
    data, _ = impressions.read_impressions(lambda _: [rows], timedelta(hours=1))
    late = data.split(EARLY_SHARE)[1]
    print(f"\nOpen Bandit, last third of calibration: {len(late):,} impressions, {late.reward.sum():.0f} clicks, "
          f"log's own rate {late.reward.mean():.3%}")  # fmt: skip
    print(
        f"{'engine':36} {'value':>8} {'95 % interval':>20} {'effective sample':>17} {'temperature':>12} {'setting':>8}"
    )
    for name, (train, settings) in ENGINES.items():
        result = select_candidate(data, train, settings)
        value, interval = result.value, f"{result.value.low:.3%} … {result.value.high:.3%}"
        print(f"{name:36} {value.value:8.3%} {interval:>20} {value.effective_sample_size:17,.0f} "
              f"{result.temperature:12g} {result.setting:8g}", flush=True)  # fmt: skip


def main() -> None:
    print_simulator()
    print_open_bandit(Path(*sys.argv[1:2] or ["data/dataset/impressions"]))


if __name__ == "__main__":
    main()
