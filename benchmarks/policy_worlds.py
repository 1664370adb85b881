"""Train, judge and promote policies in many simulated worlds, and compare every claim with the truth.

    python benchmarks/policy_worlds.py [--worlds 500] [--demo 10] [--results FILE]

In each world a log grows. At every other look, a policy is trained on its first half. At each look, it is judged on the
second by the gate of params.yaml and a guardrail for conversions; a promoted policy serves from then on. Worlds differ
in seed, click rate, how much creatives differ, and whether those with more clicks have fewer conversions. Where
creatives hardly differ, most policies are no better than chance. Some judgements are at the margin: it equals the true
loss, so that a promotion is an error. One is of a policy with reversed scores, by clicks; one of the trained policy, by
conversions. A results file keeps the worlds that are done.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray
from adloom.cli.world import read_world
from adloom.config import params as config_params
from adloom.config.audience import GOAL_METRICS, TrainPolicy
from adloom.config.gate import MetricRule
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import DataError
from adloom.evaluation.gate import decide
from adloom.evaluation.metric import Evaluation, Sample
from adloom.policy import evaluation, model_selection
from adloom.policy.impressions import ExclusionCounts, Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.ope.estimate import Estimate
from adloom.policy.rewards import RewardRule
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.policy.user_cap import cap_users
from adloom.world.adworld import CONFIG, AdWorld, create_adworld
from adloom.world.results import Results
from adloom.world.simulator import Contexts, Log, concatenate_logs

PARAMS = Path(__file__).parents[1] / "params.yaml"
SPREADS, RATES, BAITS = (0.05, 0.2, 0.8), (0.02, 0.05), (0.0, 2.0)  # of the worlds, in turn
CONVERSION = 0.3  # conversions per click of uniform decisions
GUARDRAIL = 0.2  # largest relative loss of conversions
LOOKS, BLOCK, RETRAIN = 4, 2000, 2  # looks, impressions between them, and looks of each trained policy
EXPLORED, MEASURED = 8000, 4000  # of the demo
CLICKS, CONVERSIONS = GOAL_METRICS["click"], GOAL_METRICS["conversion"]
MATURITY = 4  # mean delays of a click
PENALTY = 0.1  # of the reversed policy
ARRIVED = 1 - np.exp(-MATURITY)  # share of clicks within the maturity


@dataclass(frozen=True)
class History:
    """A log, and the probabilities of all creatives that it was drawn from."""

    adworld: AdWorld
    conversion: AnyArray  # (creatives,) conversions per click
    log: Log
    probabilities: AnyArray  # (rows, creatives)

    def extend(self, log: Log, probabilities: AnyArray) -> "History":
        """Return this log and the next one."""
        logs, chances = concatenate_logs([self.log, log]), np.concatenate([self.probabilities, probabilities])
        return History(self.adworld, self.conversion, logs, chances)

    def read(self, params: TrainPolicy, rows: slice) -> tuple[Impressions, ExclusionCounts]:
        """Return some rows as the stages read them."""
        table = self._frame.iloc[rows].reset_index(drop=True)

        def chunks(columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
            yield table if columns is None else table[list(columns)]

        rule = RewardRule(guardrails=True)
        data, excluded = read_impressions(chunks, timedelta(hours=params.maturity_hours), rule)
        data, capped = cap_users(data, params.max_user_share)
        return data, replace(excluded, capped_users=capped)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        frame = self.log.frame("world", self.adworld.running.ids).drop(columns="value")
        draws = np.random.default_rng(0).random(len(frame))
        people = self.log.contexts.user >= self.adworld.world.config.bots
        converts = self.log.clicked & people & (draws < self.conversion[self.log.action])
        frame = frame.assign(conversions=converts.astype(int), conversion_at=frame["outcome_at"].where(converts))
        return frame.rename(columns={"ctx_segment": "ctx_interest"})

    @cached_property
    def expected(self) -> AnyArray:
        """The probabilities of clicks within the maturity (rows, creatives), those of bots included."""
        config, contexts = self.adworld.world.config, self.log.contexts
        rate, bot = contexts.rate.copy(), np.flatnonzero(contexts.user < config.bots)
        rate[bot, contexts.user[bot] % config.creatives] = config.bot_rate
        return np.asarray(ARRIVED * rate)

    @property
    def expected_conversions(self) -> AnyArray:
        """The probabilities of conversions within the maturity (rows, creatives)."""
        return np.asarray(ARRIVED * self.log.contexts.rate * self.conversion)


@dataclass(frozen=True)
class Trained:
    """A policy trained on the first half of a log, with what its judges read."""

    policy: Policy
    periods: tuple[Impressions, Impressions]
    excluded: ExclusionCounts
    card: Mapping[str, Any]

    def extend(self, history: "History", params: TrainPolicy) -> "Trained":
        """Return the same policy with what its judges read of a longer log."""
        return Trained(self.policy, *_read_periods(history, params), self.card)

    def evaluate(self, policy: Policy) -> Evaluation:
        """Measure a policy on the second half."""
        calibration, holdout = self.periods
        rivals = evaluation.fit_rivals(policy, calibration, self.card)
        return evaluation.evaluate(policy, rivals, holdout, self.excluded, self.card["params"]["seed"])


def train(history: History, params: TrainPolicy) -> Trained:
    calibration, _ = history.read(params, slice(len(history.log.action) // 2))
    candidates = model_selection.evaluate_candidates(calibration, Categories(), params)
    chosen = model_selection.choose_candidate(candidates)
    policy = model_selection.fit_model(calibration, chosen.model, Categories(), chosen.penalty or 0.0)
    policy = replace(policy, temperature=chosen.temperature, floor=params.floor)
    uniform = [model_selection.to_json(each) for each in candidates if each.model == "uniform"]
    card = {"params": params.model_dump() | {"models": ["uniform"]}, "candidates": uniform}  # no rivals in the report
    return Trained(policy, *_read_periods(history, params), card)


def _read_periods(history: History, params: TrainPolicy) -> tuple[tuple[Impressions, Impressions], ExclusionCounts]:
    middle = len(history.log.action) // 2
    holdout, excluded = history.read(params, slice(middle, None))
    return (history.read(params, slice(middle))[0], holdout), excluded


def train_reversed(data: Impressions) -> Policy:
    """Return the policy that prefers what the linear model avoids."""
    policy = model_selection.fit_model(data, "linear", Categories(), PENALTY)
    weights = tuple(-each for each in policy.weights)
    return replace(policy, bias=-policy.bias, weights=weights, prior=-policy.prior)


def tabulate(policy: Policy, adworld: AdWorld, contexts: Contexts) -> AnyArray:
    """Return a policy's probabilities (rows, creatives)."""
    config, ids = adworld.world.config, adworld.running.ids
    requests = [
        ScoringRequest({"placement": f"p{placement}", "ctx_interest": f"s{segment}", "position": "1"}, ids, {})
        for segment in range(config.segments)
        for placement in range(config.placements)
    ]
    table = np.stack(policy.scorer.probabilities(requests))
    return contexts.look_up(table.reshape(config.segments, config.placements, len(ids)))


def passes(ours: Evaluation, rival: Mapping[str, Sample], rules: Sequence[MetricRule]) -> bool:
    """Return whether the gate promotes a policy."""
    differences = {
        rule.metric: sample.compare(sample, rival[rule.metric], rule.margin)
        for rule in rules
        if rule.margin is not None and (sample := ours.samples[rule.metric]).compare
    }
    return decide(ours.metrics, differences, list(rules)).verdict == "promote"


@dataclass
class Look:
    """The candidates judged at one look, and the truth about them."""

    history: History
    trained: Trained
    champion: Policy | None

    @cached_property
    def rows(self) -> slice:
        """The mature rows of the second half."""
        middle = len(self.history.log.action) // 2
        return slice(middle, middle + len(self.trained.periods[1]))

    def true_value(self, policy: Policy | None, earned: AnyArray) -> float:
        """Return what a policy, or the log, earns per judged impression, from what creatives earn (rows, creatives)."""
        contexts, rows = self.history.log.contexts, self.rows
        chances = tabulate(policy, self.history.adworld, contexts) if policy else self.history.probabilities
        return float(np.average((chances * earned).sum(1)[rows], weights=self.trained.periods[1].weight))

    def find_lift(self, policy: Policy, rival: Policy | None, earned: AnyArray) -> float:
        """Return what a policy earns more than its rival, or the log."""
        return self.true_value(policy, earned) - self.true_value(rival, earned)

    def judge(self, rules: Sequence[MetricRule]) -> dict[str, Any]:
        """Judge the trained policy against the champion, or the log."""
        policy, history, champion = self.trained.policy, self.history, self.champion
        ours = self.trained.evaluate(policy)
        rival = self.trained.evaluate(champion).samples if champion else ours.baseline
        lift = self.find_lift(policy, champion, history.expected_conversions)
        margin = GUARDRAIL * self.true_value(champion, history.expected_conversions)
        guarded = [*rules, MetricRule(metric=CONVERSIONS, margin=margin)]
        at_margin = [*rules, MetricRule(metric=CONVERSIONS, margin=max(-lift, 0.0))]
        estimate = evaluation.estimate_value(policy, self.trained.periods[1]).estimates["doubly_robust"]
        return {
            "passes_goal": passes(ours, rival, rules),
            "promoted": passes(ours, rival, guarded),
            "at_margin": passes(ours, rival, at_margin),
            "lift": self.find_lift(policy, champion, history.log.contexts.rate),
            "conversions": lift,
            "breach": lift < -margin,
            "interval": _to_interval(estimate, self.true_value(policy, history.expected)),
        }

    def judge_reversed(self, policy: Policy, rules: Sequence[MetricRule]) -> dict[str, Any]:
        """Judge a reversed policy against the log, by the gate and with a margin equal to its loss."""
        ours = self.trained.evaluate(policy)
        lift = self.find_lift(policy, None, self.history.expected)
        at_margin = [MetricRule(metric=CLICKS, margin=max(-lift, 0.0))]
        return {
            "promoted": passes(ours, ours.baseline, rules),
            "at_margin": passes(ours, ours.baseline, at_margin),
            "lift": lift,
        }


def _to_interval(estimate: Estimate, truth: float) -> dict[str, Any]:
    """Return an interval with the truth."""
    return {"low": estimate.low, "high": estimate.high, "truth": truth, "trusted": estimate.trustworthy}


def explore(adworld: AdWorld, rows: int, bait: float = 0.0) -> History:
    """Return the log of even probabilities; the conversions per click fall with clicks to the power of `bait`."""
    rate = adworld.world.rates.mean((0, 1))
    conversion = np.minimum(CONVERSION * (rate / rate.mean()) ** -bait, 1.0)
    log = adworld.world.log(lambda contexts: contexts.uniform, rows)
    return History(adworld, conversion, log, log.contexts.uniform)


def play_world(adworld: AdWorld, bait: float, params: TrainPolicy, rules: Sequence[MetricRule]) -> dict[str, Any]:
    """Return the judgements of a world by policy, one per look."""
    champion: Policy | None = None
    backward: Policy | None = None
    history = explore(adworld, BLOCK, bait)
    trained: Trained | None = None
    looks: dict[str, list[dict[str, Any]]] = {"trained": [], "reversed": []}
    for number in range(LOOKS):
        if number:
            log = adworld.world.log(partial(_serve, champion, adworld), BLOCK)
            history = history.extend(log, _serve(champion, adworld, log.contexts))
        try:
            trained = trained.extend(history, params) if trained and number % RETRAIN else train(history, params)
        except DataError:  # too few clicks
            continue
        look = Look(history, trained, champion)
        looks["trained"].append(look.judge(rules))
        backward = backward or train_reversed(trained.periods[0])
        looks["reversed"].append(look.judge_reversed(backward, rules))
        champion = trained.policy if looks["trained"][-1]["promoted"] else champion
    return looks


def _serve(policy: Policy | None, adworld: AdWorld, contexts: Contexts) -> AnyArray:
    return contexts.uniform if policy is None else tabulate(policy, adworld, contexts)


def play_demo(adworld: AdWorld, params: TrainPolicy, rules: Sequence[MetricRule]) -> dict[str, Any]:
    """Return whether the demo's policy is promoted, and its true lift when it serves."""
    look = Look(history := explore(adworld, EXPLORED), train(history, params), None)
    policy = look.trained.policy
    log = adworld.world.log(partial(_serve, policy, adworld), MEASURED)
    results = Results.from_logs([log], adworld.world.config.bots)
    return {"promoted": look.judge(rules)["passes_goal"], "lift": results.lift, "share_of_best": results.share_of_best}


class ResultsFile:
    """The results of worlds, one line of JSON each; those that are known are not computed again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.known = {entry["world"]: entry["result"] for entry in map(json.loads, lines)}

    def add(self, world: str, result: dict[str, Any]) -> None:
        self.known[world] = result
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"world": world, "result": result}) + "\n")


def describe_share(hits: int, total: int) -> str:
    """Return a share with its exact binomial 95 % interval (Clopper and Pearson)."""
    if not total:
        return "none"
    interval = binomtest(hits, total).proportion_ci()
    return f"{hits:4} of {total:4}, {hits / total:6.1%} ({interval.low:.1%} to {interval.high:.1%})"


def print_worlds(results: Mapping[str, dict[str, Any]]) -> None:
    """Print the claims over all worlds, and by how much creatives differ."""
    print(f"{'worlds':16} claim")
    names = [""] + [f"spread {spread}" for spread in SPREADS]
    for name in names:
        worlds = [result for world, result in results.items() if name in world and world.startswith("world")]
        for claim, hits in collect_claims(worlds).items():
            print(f"{name or 'all':16} {claim:60} {describe_share(sum(hits), len(hits))}")


def collect_claims(worlds: Sequence[Mapping[str, list[Mapping[str, Any]]]]) -> dict[str, list[bool]]:
    """Return each claim's cases and whether they occurred."""
    trained = [world["trained"] for world in worlds]
    backward = [[look for look in world["reversed"] if look["lift"] < 0] for world in worlds]
    worse_reversed = [looks for looks in backward if looks]
    last = [looks[-1]["interval"] for looks in trained if looks]
    every = [look["interval"] for looks in trained for look in looks]
    worse = [look for looks in trained for look in looks if look["lift"] < 0]
    breaches = [found for looks in trained if (found := [look for look in looks if look["breach"]])]
    losses = [found for looks in trained if (found := [look for look in looks if look["conversions"] < 0])]
    return {
        "a world promotes a policy worse in clicks or conversions": [
            any(look["promoted"] and (look["lift"] < 0 or look["breach"]) for look in looks) for looks in trained
        ],
        "a worse trained policy is promoted": [look["promoted"] for look in worse],
        "a promoted policy is worse": [look["lift"] < 0 for looks in trained for look in looks if look["promoted"]],
        "a world promotes the reversed policy at any look": [
            any(look["promoted"] for look in looks) for looks in worse_reversed
        ],
        "a world promotes it at any look, with its loss as margin": [
            any(look["at_margin"] for look in looks) for looks in worse_reversed
        ],
        "a world promotes a policy that breaks the guardrail": [
            any(look["promoted"] for look in looks) for looks in breaches
        ],
        "the same without the guardrail": [any(look["passes_goal"] for look in looks) for looks in breaches],
        "a world promotes a policy with its loss as guardrail": [
            any(look["at_margin"] for look in looks) for looks in losses
        ],
        "a world promotes a policy": [any(look["promoted"] for look in looks) for looks in trained],
        "an interval is trusted": [interval["trusted"] for interval in every],
        "a trusted interval at the last look contains the truth": [_covers(i) for i in last if i["trusted"]],
        "a trusted interval at any look contains the truth": [_covers(i) for i in every if i["trusted"]],
    }


def _covers(interval: Mapping[str, float]) -> bool:
    return interval["low"] <= interval["truth"] <= interval["high"]


def print_demo(results: Mapping[str, dict[str, Any]]) -> None:
    """Print what the demo's policy earns in each world."""
    print(f"\n{'demo':8} {'gate':8} {'lift in truth':>14} {'of the oracle':>14}")
    for world, result in results.items():
        if world.startswith("demo"):
            gate = "promoted" if result["promoted"] else "held"
            print(f"{world:8} {gate:8} {result['lift']:+14.0%} {result['share_of_best']:14.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--demo", type=int, default=10)
    parser.add_argument("--results", type=Path, default=Path("policy_worlds.jsonl"))
    options = parser.parse_args()
    loaded = config_params.load(PARAMS)
    params, rules = loaded.train_policy, loaded.gate.rules("policy")
    params = params.model_copy(update={"maturity_hours": MATURITY * CONFIG.delay_hours})
    parts, results = read_world(open_store(Settings())), ResultsFile(options.results)
    settings = list(itertools.product(SPREADS, RATES, BAITS))
    with threadpool_limits(1):
        for seed in range(options.demo):
            if (name := f"demo {seed}") not in results.known:
                results.add(name, play_demo(create_adworld(*parts, seed), params, rules))
        for seed in range(options.worlds):
            spread, rate, bait = settings[seed % len(settings)]
            if (name := f"world {seed}, spread {spread}, rate {rate}, bait {bait}") not in results.known:
                adworld = create_adworld(*parts, seed, replace(CONFIG, spread=spread, rate=rate))
                results.add(name, play_world(adworld, bait, params, rules))
    print_worlds(results.known)
    print_demo(results.known)


if __name__ == "__main__":
    main()
