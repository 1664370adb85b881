"""Measure how often the gate errs over goal, guardrails and repeated looks, in simulated logs with known truth.

    python benchmarks/policy_gate.py [--worlds 500]

In each world a log grows, and at each look the gate compares a candidate with the champion by click rate, conversion
rate and complaint rate. A claim is wrong if a comparison passes although the candidate is worse by the margin. `all at
the margin`: the candidate is worse in everything, by exactly the margins. `clickbait`: it earns more clicks, and
converts worse by exactly the margin. `better`: it is better in everything.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from adloom.arrays import AnyArray
from adloom.config.gate import MetricRule
from adloom.evaluation.gate import decide
from adloom.evaluation.metric import Comparison
from adloom.policy.candidate_sets import CandidateSets
from adloom.policy.evaluation import to_sample
from adloom.policy.impressions import Impressions
from adloom.policy.rewards import OUTCOMES
from adloom.world.simulator import Config, World

KINDS = ("click", "conversion", "complaint")
METRICS = tuple(OUTCOMES[kind].metric for kind in KINDS)
CREATIVES, ROWS, LOOKS = 6, 20_000, 10
RATES = np.array([0.05, 0.01, 0.005])  # by KINDS, of the mean creative
SPREAD = 0.4  # of the logarithms of creatives' rates
SAFE = 0.02  # margin that no candidate misses
TOLERANCE = 1e-12
CONFIG = Config(rate=float(RATES[0]), segments=1, placements=1, creatives=CREATIVES, users=1, wear_out=0.0, drift=0.0)

Scenario = Literal["all at the margin", "clickbait", "better"]
SCENARIOS: tuple[Scenario, ...] = ("all at the margin", "clickbait", "better")


@dataclass(frozen=True)
class Contest:
    """A world with the rates of its creatives, the policies that are compared, and the margins of the gate."""

    world: World
    rates: AnyArray  # (kinds, creatives)
    logging: AnyArray  # (creatives,) probabilities
    champion: AnyArray
    candidate: AnyArray
    margins: AnyArray  # (kinds,)

    @property
    def losses(self) -> AnyArray:
        """The candidate's true losses (kinds,)."""
        return _find_losses(self.rates, self.champion, self.candidate)


class Outcome(NamedTuple):
    """Whether it ever happened at a look: a promotion, one of a worse candidate, a wrong claim, one uncorrected."""

    promoted: bool
    worse_promoted: bool
    wrong: bool
    wrong_uncorrected: bool


def draw_contest(rng: np.random.Generator, scenario: Scenario) -> Contest:
    """Return a contest; the log is uniform or skewed, and its policy is the champion or another one is."""
    scores = np.sort(rng.normal(0, SPREAD, (3, CREATIVES)), axis=1)  # the last creative has the most clicks
    order = {"all at the margin": (1, 1, -1), "clickbait": (1, -1, -1), "better": (1, 1, -1)}[scenario]
    appeal = np.stack([row[::step] for row, step in zip(scores, order, strict=True)])
    world = World(CONFIG, int(rng.integers(2**32)), appeal[:1, None], np.zeros(1, np.int64))
    rates = np.concatenate([world.rates[0], RATES[1:, None] * np.exp(appeal[1:])])
    logging = rng.dirichlet(np.full(CREATIVES, 20.0 if rng.random() < 0.5 else 3.0)) * 0.8 + 0.2 / CREATIVES
    champion = logging if rng.random() < 0.5 else np.full(CREATIVES, 1 / CREATIVES)
    taste = np.exp((-2 if scenario == "all at the margin" else 2) * scores[0] / SPREAD)
    candidate = 0.3 * champion + 0.7 * taste / taste.sum()
    losses = _find_losses(rates, champion, candidate)
    margins = {
        "all at the margin": losses,
        "clickbait": np.array([0.0, losses[1], SAFE]),
        "better": np.array([0.0, SAFE, SAFE]),
    }[scenario]
    return Contest(world, rates, logging, champion, candidate, margins.clip(min=0))


def run_contest(contest: Contest, rng: np.random.Generator, rows: int = ROWS, looks: int = LOOKS) -> Outcome:
    """Return what the gate did over all looks at a growing log."""
    is_wrong = dict(zip(METRICS, contest.losses >= contest.margins - TOLERANCE, strict=True))
    rules = [MetricRule(metric=name, margin=float(m)) for name, m in zip(METRICS, contest.margins, strict=True)]
    log, outcome = _draw_log(contest, rng, rows), np.zeros(4, bool)
    for end in np.linspace(0, rows, looks + 1)[1:].astype(int):
        compared = dict(_compare(contest, log.select(slice(end)), rules))
        decision = decide({}, compared, rules)
        passed = [reason.metric for reason in decision.reasons if reason.verdict == "promote"]
        alone = [name for name, comparison in compared.items() if comparison.enough]
        wrong = [any(is_wrong[name] for name in names) for names in (passed, alone)]
        promoted = decision.verdict == "promote"
        outcome |= [promoted, promoted and any(is_wrong.values()), *wrong]
    return Outcome(*outcome.tolist())


def _find_losses(rates: AnyArray, champion: AnyArray, candidate: AnyArray) -> AnyArray:
    signs = np.array([-1 if OUTCOMES[kind].less_is_better else 1 for kind in KINDS])
    return np.asarray(signs * (rates @ (champion - candidate)))


def _draw_log(contest: Contest, rng: np.random.Generator, rows: int) -> Impressions:
    log = contest.world.log(lambda contexts: np.tile(contest.logging, (len(contexts), 1)), rows)
    conversion, complaint = (rng.random(rows) < rates[log.action] for rates in contest.rates[1:])
    return Impressions(
        creatives=tuple("abcdef"),
        context={},
        sets=CandidateSets(np.array([0, CREATIVES]), np.arange(CREATIVES, dtype=np.int32)),
        offered=np.zeros(rows, np.int32),
        shown=log.action.astype(np.int32),
        reward=log.reward,
        propensity=log.propensity,
        propensity_estimated=np.zeros(rows, bool),
        weight=np.ones(rows),
        user=np.full(rows, -1, np.int32),
        timestamp=np.datetime64("2026-01-01") + np.arange(rows).astype("timedelta64[s]"),
        outcomes={"conversion": conversion.astype(np.float64), "complaint": complaint.astype(np.float64)},
    )


def _compare(contest: Contest, log: Impressions, rules: list[MetricRule]) -> Iterator[tuple[str, Comparison]]:
    for kind, rule in zip(KINDS, rules, strict=True):
        data, guardrail = (log, False) if kind == log.kind else (log.with_reward(kind), True)
        chances, nothing = (contest.candidate[log.shown], contest.champion[log.shown]), np.zeros(len(log))
        ours, theirs = (to_sample(data, nothing, chance, nothing, guardrail) for chance in chances)
        assert ours.compare
        yield rule.metric, ours.compare(ours, theirs, rule.margin or 0.0)


def main() -> None:
    """Print the shares of worlds by scenario."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=500)
    worlds = parser.parse_args().worlds
    print("| scenario | promoted | promoted although worse | a wrong claim | uncorrected |\n|---|---|---|---|---|")
    for scenario in SCENARIOS:
        outcomes = []
        for seed in range(worlds):
            rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
            outcomes.append(run_contest(draw_contest(rng, scenario), rng))
        shares = [f"{share:.1%}" for share in np.array(outcomes).mean(0)]
        print(f"| {scenario} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
