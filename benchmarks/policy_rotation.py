"""Measure the selection of policies where creatives rotate weekly, by the share of the oracle's gain that they earn.

    python benchmarks/policy_rotation.py [--seeds 20] [--rotation 3 12] [--titles]

In worlds of random pictures with categories, 12 creatives run at a time, and each week some of them leave. The log
begins with three and a half weeks of uniform decisions. Then a policy is trained on the whole log, serves for half a
week, and so on, three times; new creatives enter in the middle, in the second half week. Each selection plays the same
worlds: rolling origins, and the last third of the log by the value's lower end, as before. Prints the share of the
oracle's gain over uniform decisions in true click rates, its lowest value, and the settings chosen.

--titles gives creatives real titles of clothing reviews, whose ratings explain 40 % of the variance of log click rates,
and compares what policies know of new creatives: their category, also their words, also their sentences.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.config.audience import TrainPolicy
from adloom.config.settings import Settings
from adloom.context import build_context
from adloom.data import contracts
from adloom.policy import fit, model_selection
from adloom.policy.cold_start import add_cold_start
from adloom.policy.content_model import Contents, join_features
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.stages.text_embeddings import embed_texts
from adloom.world.adworld import CONFIG, AdWorld, create_adworld
from adloom.world.creatives import draw_appeal
from adloom.world.results import Results
from adloom.world.simulator import Contexts, World, concatenate_logs

RUNNING, WEEKS = 12, 6
HALF_WEEK = 5040  # impressions
LOGGED, SERVED = 7, 3  # half weeks
CATEGORIES = ("Bag", "Boot", "Coat", "Dress", "Pullover", "Sandal", "Shirt", "Sneaker")
PARAMS = TrainPolicy(maturity_hours=4)
TITLE_SHARE = 0.4  # of the variance of log click rates

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


def create_world(seed: int, rotation: int, lines: Sequence[str] = ()) -> AdWorld:
    rng = np.random.default_rng(seed)
    count = RUNNING + rotation * (WEEKS - 1)
    pixels = rng.integers(0, 256, (count, 7, 7)) * rng.uniform(0.2, 1, (count, 1, 1))
    lines = lines or ["line " + "x" * int(length) for length in rng.integers(1, 50, 200)]
    config = replace(CONFIG, creatives=count, running=RUNNING, rotation=rotation, per_hour=HALF_WEEK / 84)
    ids, categories = [f"c{i:02}" for i in range(count)], rng.choice(CATEGORIES, count).tolist()
    return create_adworld(ids, categories, pixels.astype(np.uint8), lines, seed, config)


def read_titles() -> tuple[Mapping[str, float], Mapping[str, AnyArray]]:
    """Return the mean ratings of 500 titles of clothing reviews, standardised, and their embeddings."""
    context = build_context(Settings(quiet=True), "benchmark")
    reviews = pd.read_csv(context.store.fetch("clothing-reviews", context.home) / "reviews.csv").dropna(subset="title")
    rating = reviews[reviews["title"].str.count(r"\w+") >= 3].groupby("title")["rating"].mean()
    rating = rating.sample(500, random_state=0)
    embeddings, _ = embed_texts(rating.index.tolist(), "all-minilm-l6-v2", context)
    standardised = ((rating - rating.mean()) / rating.std()).tolist()
    known = {title: each for title, each in zip(rating.index, embeddings, strict=True) if each is not None}
    return dict(zip(known, standardised, strict=True)), known


def create_titled_world(seed: int, rotation: int, ratings: Mapping[str, float]) -> AdWorld:
    """Return a world in which the ratings of the titles matter, which no feature has seen."""
    plain = create_world(seed, rotation, [*ratings])
    config, creatives = plain.world.config, plain.running
    appeal = draw_appeal(creatives, plain.taste, config.placements, config.spread, seed)
    title = config.spread * np.array([ratings[line] for line in creatives.lines])
    appeal = (1 - TITLE_SHARE) ** 0.5 * appeal + TITLE_SHARE**0.5 * title
    return replace(plain, world=World(config, seed, appeal, plain.purchases.segment_of))


def describe_creatives(
    adworld: AdWorld, embeddings: Mapping[str, AnyArray] | None = None
) -> tuple[Categories, Contents]:
    """Return what the table of creatives says, also of those that enter later."""
    creatives = adworld.running
    names = tuple(sorted(set(creatives.categories)))
    pictures = creatives.pixels.reshape(len(creatives.ids), -1) / 255
    sentences = [embeddings[line] for line in creatives.lines] if embeddings else []
    features = join_features(pictures, creatives.lines, sentences)
    contents = Contents(np.array(creatives.ids), np.array(creatives.categories), features)
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


@dataclass(frozen=True)
class Way:
    """How a policy is made: its selection, and the features of new creatives."""

    select: Select = select_by_rolling_origins
    describe: Callable[[AdWorld], tuple[Categories, Contents]] = describe_creatives
    cold_start: bool = True
    chosen: Counter[Choice] = field(default_factory=Counter)

    def train(self, table: pd.DataFrame, adworld: AdWorld) -> Policy:
        categories, contents = self.describe(adworld)
        data, _ = read_impressions(lambda columns: [table], timedelta(hours=PARAMS.maturity_hours))
        model, temperature, penalty = self.select(data, categories)
        self.chosen[model, temperature, penalty] += 1
        policy = model_selection.fit_model(data, model, categories, penalty or 0.0)
        policy = replace(policy, temperature=temperature, floor=PARAMS.floor)
        blind = replace(contents, features=np.zeros((len(contents), 1)))
        return add_cold_start(policy, contents if self.cold_start else blind)


def play(adworld: AdWorld, way: Way) -> list[float]:
    """Return the share of the oracle's gain in each half week served."""
    logs, shares = [adworld.world.log(lambda contexts: contexts.uniform, LOGGED * HALF_WEEK)], []
    for _ in range(SERVED):
        table, _ = contracts.validate(concatenate_logs(logs).frame(creatives=adworld.running.ids), "impressions")
        policy = way.train(table, adworld)
        logs.append(adworld.world.log(partial(tabulate, policy, adworld), HALF_WEEK))
        shares.append(Results.from_logs(logs[-1:], adworld.world.config.bots).share_of_best)
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rotation", type=int, nargs="*", default=[3, RUNNING], help="creatives replaced each week")
    parser.add_argument("--titles", action="store_true", help="compare what policies know of new creatives")
    arguments = parser.parse_args()
    create: Callable[[int, int], AdWorld] = create_world
    ways = {name: Way(select) for name, select in SELECTIONS.items()}
    if arguments.titles:
        ratings, embeddings = read_titles()
        create = partial(create_titled_world, ratings=ratings)
        sentences = Way(describe=partial(describe_creatives, embeddings=embeddings))
        ways = {"category": Way(cold_start=False), "words": Way(), "sentences": sentences}
    for rotation in arguments.rotation:
        for name, way in ways.items():
            shares = np.array([play(create(seed, rotation), way) for seed in range(arguments.seeds)])
            print(f"{rotation} of {RUNNING} leave each week, {name}: {shares.mean():.1%} of the oracle's gain, by half "
                  f"week {', '.join(f'{share:.1%}' for share in shares.mean(0))}; worst world "
                  f"{shares.mean(1).min():.1%}, worst half week {shares.min():.1%}; "
                  f"below uniform in {(shares.mean(1) < 0).sum()} of {len(shares)}", flush=True)  # fmt: skip
            print("   ", ", ".join(f"{key}: {count}" for key, count in way.chosen.most_common(8)), flush=True)
            way.chosen.clear()


if __name__ == "__main__":
    main()
