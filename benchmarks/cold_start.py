"""Compare scores of new creatives by their regret in the simulator: content model, nearest pictures, category alone.

    python benchmarks/cold_start.py

Click rates depend on features of the creatives to a known share. A policy learns from a uniform log of the known
creatives. Each new creative then competes with seven known ones for 1,000 impressions without learning; the regret is
the clicks lost against always showing the best. Ratios are paired over worlds; the interval is one of t.
"""

import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
from scipy import stats

from adloom.arrays import AnyArray, Float64Array
from adloom.data import contracts
from adloom.policy import models
from adloom.policy.cold_start import add_cold_start
from adloom.policy.content_model import Contents
from adloom.policy.impressions import read_impressions
from adloom.policy.models import Categories
from adloom.policy.scorer import Policy
from adloom.world.simulator import Config, World, creative_id

WORLDS, NEW, RIVALS, IMPRESSIONS = 8, 50, 7, 1000
SIZES = ((30, 60_000), (100, 60_000))  # known creatives, impressions of the log
CONTENT = (0.0, 0.5, 0.8)
TEMPERATURE, FLOOR = 0.2, 0.01
NEIGHBOURS = 10


def main() -> int:
    names = ("category", "nearest", "content model", "true rates")
    print("known     log content", *(f"{name:>13}" for name in names), " content model / category")
    for known, rows in SIZES:
        for content in CONTENT:
            config = Config(
                rate=0.02,
                segments=1,
                placements=1,
                creatives=known + NEW,
                wear_out=0.0,
                drift=0.0,
                content=content,
            )
            regrets = np.array([measure(config, known, rows, seed) for seed in range(WORLDS)])
            ratio = regrets[:, 2] / regrets[:, 0]
            error = stats.t.ppf(0.975, WORLDS - 1) * stats.sem(ratio)
            means = " ".join(f"{value:13.2f}" for value in regrets.mean(0))
            print(f"{known:5} {rows:7,} {content:7.1f} {means}  {ratio.mean():.3f} ± {error:.3f}", flush=True)
    return 0


def measure(config: Config, known: int, rows: int, seed: int) -> Float64Array:
    """Return the mean regret per new creative of the three scores, and of the true rates."""
    world = World(config, seed)
    uniform = np.zeros(config.creatives)
    uniform[:known] = 1 / known
    frame = world.log(lambda now: np.tile(uniform, (len(now), 1)), rows).frame()
    frame["candidates"] = [[creative_id(i) for i in range(known)]] * rows
    table, _ = contracts.validate(frame.drop(columns="user_id"), "impressions")
    data, _ = read_impressions(lambda columns: [table], timedelta(hours=12))
    policy = replace(models.fit_rates(data, Categories()), temperature=TEMPERATURE, floor=FLOOR)
    ids = np.array([creative_id(i) for i in range(config.creatives)])
    features = world.contents if config.content else np.random.default_rng(seed).normal(size=(len(ids), 16))
    contents = Contents(ids, np.full(len(ids), ""), features)
    wider = add_cold_start(policy, contents)
    new = np.arange(known, config.creatives)
    own = score_known(policy, known)
    rates: Float64Array = world.rates[0, 0]
    scores = (
        np.zeros(NEW),
        nearest_scores(own, features, known),
        wider.bias[[wider.creatives.index(name) for name in ids[new]]].astype(np.float64),
        np.log(rates[new] / rates[:known].mean()),
    )
    return np.array([lose_clicks(score, own, rates, known) for score in scores])


def score_known(policy: Policy, known: int) -> Float64Array:
    return policy.bias[[policy.creatives.index(creative_id(i)) for i in range(known)]].astype(np.float64)


def nearest_scores(own: Float64Array, features: AnyArray, known: int) -> Float64Array:
    """Return the mean score of the nearest known creatives, weighted by their similarity and shrunk (new,)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = np.clip(unit[known:] @ unit[:known].T, 0, None)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    weight = np.take_along_axis(similarity, nearest, 1)
    return np.asarray((weight * own[nearest]).sum(1) / (weight.sum(1) + 1))


def lose_clicks(new: AnyArray, own: AnyArray, rates: AnyArray, known: int) -> float:
    """Return the clicks lost against the best candidate, averaged over new creatives."""
    random = np.random.default_rng(0)
    rivals = np.array([random.choice(known, RIVALS, replace=False) for _ in range(NEW)])
    scores = np.concatenate([new[:, None], own[rivals]], 1)
    true = np.concatenate([rates[known:, None], rates[rivals]], 1)
    odds = np.exp((scores - scores.max(1, keepdims=True)) / TEMPERATURE)
    count = RIVALS + 1
    chosen = FLOOR + (1 - FLOOR * count) * odds / odds.sum(1, keepdims=True)
    return float(IMPRESSIONS * (true.max(1) - (chosen * true).sum(1)).mean())


if __name__ == "__main__":
    sys.exit(main())
