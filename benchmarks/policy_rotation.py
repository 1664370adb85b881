"""Measure the selection of policies where creatives rotate weekly, by the share of the oracle's gain that they earn.

    python benchmarks/policy_rotation.py [--seeds 20] [--rotation 3 12]

In worlds of random pictures with categories, 12 creatives run at a time, and each week some of them leave. The log
begins with three and a half weeks of uniform decisions. Then a policy is trained on the whole log, serves for half a
week, and so on, three times; new creatives enter in the middle, in the second half week. Each selection plays the same
worlds: rolling origins, and the last third of the log by the value's lower end, as before. Prints the share of the
oracle's gain over uniform decisions in true click rates, its lowest value, and the settings chosen.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.config.audience import TrainPolicy
from adloom.data import contracts
from adloom.policy import fit, model_selection
from adloom.policy.cold_start import add_cold_start
from adloom.policy.content_model import Contents, join_features
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.world.adworld import CONFIG, AdWorld, create_adworld
from adloom.world.results import Results
from adloom.world.simulator import Contexts, concatenate_logs

RUNNING, WEEKS = 12, 6
HALF_WEEK = 5040  # impressions
LOGGED, SERVED = 7, 3  # half weeks
CATEGORIES = ("Bag", "Boot", "Coat", "Dress", "Pullover", "Sandal", "Shirt", "Sneaker")
PARAMS = TrainPolicy(maturity_hours=4)

Choice = tuple[str, float, float | None]  # model, temperature, penalty
Select = Callable[[Impressions, Categories], Choice]


def select_by_rolling_origins(data: Impressions, categories: Categories) -> Choice:
    chosen = model_selection.choose_candidate(model_selection.evaluate_candidates(data, categories, PARAMS))
    return chosen.model, chosen.temperature, chosen.penalty


def select_by_last_third(data: Impressions, categories: Categories) -> Choice:
    """Fit on two thirds, and take the highest lower end of the value on the last, as adloom did."""
    early, late = data.split(2 / 3)
    log = model_selection.to_log(late)
    predicted = cross_fit(log.rates, seed=PARAMS.seed, clusters=log.clusters)
    penalty = min(fit.PENALTIES, key=lambda each: fit.fit_linear(early, categories, each).log_loss(late))
    best = ("uniform", 1.0, None), 0.0
    for model in PARAMS.models:
        policy = model_selection.fit_model(early, model, categories, penalty)
        for temperature in [1.0] if model in model_selection.FIXED_TEMPERATURE else PARAMS.temperatures:
            policy = replace(policy, temperature=temperature, floor=PARAMS.floor)
            value = model_selection.estimate_value(policy, late, log, predicted)
            if value.trustworthy and value.low > best[1]:
                best = (model, temperature, penalty if model == "linear" else None), value.low  # type: ignore[assignment]
    return best[0]


SELECTIONS: dict[str, Select] = {"rolling origins": select_by_rolling_origins, "last third": select_by_last_third}


def create_world(seed: int, rotation: int) -> AdWorld:
    rng = np.random.default_rng(seed)
    count = RUNNING + rotation * (WEEKS - 1)
    pixels = rng.integers(0, 256, (count, 7, 7)) * rng.uniform(0.2, 1, (count, 1, 1))
    lines = ["line " + "x" * int(length) for length in rng.integers(1, 50, 200)]
    config = replace(CONFIG, creatives=count, running=RUNNING, rotation=rotation, per_hour=HALF_WEEK / 84)
    ids, categories = [f"c{i:02}" for i in range(count)], rng.choice(CATEGORIES, count).tolist()
    return create_adworld(ids, categories, pixels.astype(np.uint8), lines, seed, config)


def describe_creatives(adworld: AdWorld) -> tuple[Categories, Contents]:
    """Return what the table of creatives says, also of those that enter later."""
    creatives = adworld.running
    names = tuple(sorted(set(creatives.categories)))
    pictures = creatives.pixels.reshape(len(creatives.ids), -1) / 255
    contents = Contents(
        np.array(creatives.ids), np.array(creatives.categories), join_features(pictures, creatives.lines)
    )
    return Categories(names, dict(zip(creatives.ids, creatives.categories, strict=True))), contents


def tabulate(policy: Policy, adworld: AdWorld, contexts: Contexts) -> AnyArray:
    """Return a policy's probabilities (rows, creatives)."""
    ids, result = np.array(adworld.running.ids), np.zeros(contexts.running.shape)
    keys = np.column_stack([contexts.segment, contexts.placement, contexts.running])
    cells, cell = np.unique(keys, axis=0, return_inverse=True)
    for number, (segment, placement, *running) in enumerate(cells.tolist()):
        mask = np.array(running, bool)
        context = {"placement": f"p{placement}", "position": "1", "segment": f"s{segment}"}
        shares = policy.scorer.probabilities([ScoringRequest(context, ids[mask].tolist())])[0]
        result[np.ix_(cell.ravel() == number, mask)] = shares
    return result


def train(table: pd.DataFrame, select: Select, adworld: AdWorld, chosen: Counter[Choice]) -> Policy:
    categories, contents = describe_creatives(adworld)
    data, _ = read_impressions(lambda columns: [table], timedelta(hours=PARAMS.maturity_hours))
    model, temperature, penalty = select(data, categories)
    chosen[model, temperature, penalty] += 1
    policy = model_selection.fit_model(data, model, categories, penalty or 0.0)
    return add_cold_start(replace(policy, temperature=temperature, floor=PARAMS.floor), contents)


def play(seed: int, rotation: int, select: Select, chosen: Counter[Choice]) -> list[float]:
    """Return the share of the oracle's gain in each half week served."""
    adworld = create_world(seed, rotation)
    logs, shares = [adworld.world.log(lambda contexts: contexts.uniform, LOGGED * HALF_WEEK)], []
    for _ in range(SERVED):
        table, _ = contracts.validate(concatenate_logs(logs).frame(creatives=adworld.running.ids), "impressions")
        policy = train(table, select, adworld, chosen)
        logs.append(adworld.world.log(partial(tabulate, policy, adworld), HALF_WEEK))
        shares.append(Results.from_logs(logs[-1:], adworld.world.config.bots).share_of_best)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rotation", type=int, nargs="*", default=[3, RUNNING], help="creatives replaced each week")
    arguments = parser.parse_args()
    for rotation in arguments.rotation:
        for name, select in SELECTIONS.items():
            chosen: Counter[Choice] = Counter()
            shares = np.array([play(seed, rotation, select, chosen) for seed in range(arguments.seeds)])
            print(f"{rotation} of {RUNNING} leave each week, {name}: {shares.mean():.1%} of the oracle's gain, by half "
                  f"week {', '.join(f'{share:.1%}' for share in shares.mean(0))}; worst world "
                  f"{shares.mean(1).min():.1%}, worst half week {shares.min():.1%}; "
                  f"below uniform in {(shares.mean(1) < 0).sum()} of {len(shares)}", flush=True)  # fmt: skip
            print("   ", ", ".join(f"{key}: {count}" for key, count in chosen.most_common(8)), flush=True)


if __name__ == "__main__":
    main()
