"""
Compare the arms of an experiment, and decide how it goes on.

Differences have confidence intervals that hold at all looks together, by the test that promotes policies. The decisions
of one user count as fewer. The error of 5 % is shared by all comparisons of an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from adloom.arrays import AnyArray
from adloom.evaluation.sample_ratio import MISMATCH, sample_ratio_p_value
from adloom.experiments.counts import FAILURES, GUARDRAILS, OUTCOMES, UserCounts
from adloom.experiments.definition import Experiment
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import MIN_EVENTS, find_user_issue
from adloom.policy.ope.promotion_test import ALPHA, Lifts, count_lifts, impressions_needed, lower_bound

MAX_FAILURES = 0.02  # difference of the shares of failures that ends an experiment

Verdict = Literal["continue", "stop", "promote", "rollback"]


@dataclass(frozen=True)
class RateDifference:
    """An arm's rate minus the baseline's, per decision, with its interval over all looks."""

    value: float
    low: float
    high: float
    baseline: float  # rate of the baseline
    needed: int | None  # further decisions until the arm is better for certain; None if never


@dataclass(frozen=True)
class ArmResult:
    """The counts of an arm, and its differences to the baseline."""

    name: str
    share: float
    users: int  # a decision without a user counts as one
    decisions: int
    rates: Mapping[str, float]  # by GUARDRAILS
    goal: RateDifference | None = None  # None: the baseline, or without matured decisions in both
    guardrails: Mapping[str, RateDifference] = field(default_factory=dict)
    issue: str = ""  # why its lift is no evidence yet
    breach: str = ""  # of a guardrail


@dataclass(frozen=True)
class ExperimentResult:
    """The state of an experiment, and how it goes on by its rules."""

    arms: list[ArmResult]
    sample_ratio: float  # p-value
    verdict: Verdict
    reason: str
    arm: str | None = None  # to promote


def analyse(experiment: Experiment, counts: UserCounts) -> ExperimentResult:
    """Compare the arms with the baseline."""
    arms = [_summarize_arm(experiment, counts, arm) for arm in range(len(experiment.arms))]
    users = np.array([arm.users for arm in arms], np.float64)
    ratio = sample_ratio_p_value(users, np.array([arm.share for arm in experiment.arms]))
    return ExperimentResult(arms, ratio, *_decide(experiment, arms, ratio))


def plan_decisions(experiment: Experiment, rate: float, effect: float) -> int | None:
    """Return the decisions until an arm with this relative effect on a baseline's rate is found better, on average."""
    baseline, total = experiment.arms[experiment.baseline], 1000.0
    needs = []
    for arm in (experiment.arms[i] for i in experiment.candidates):
        chance = arm.share / (arm.share + baseline.share)
        terms = np.array([-1 / (1 - chance), 0.0, 1 / chance])
        events = np.array([(1 - chance) * rate, 0.0, chance * rate * (1 + effect)])
        events[1] = 1 - events.sum()
        lifts = Lifts(terms, events * total, total)
        more = impressions_needed(lifts, -terms[0], 0.0, _error(experiment) / 2)
        needs.append(None if more is None else (total + more) / (arm.share + baseline.share))
    known = [need for need in needs if need is not None]
    return round(max(known)) if known and len(known) == len(needs) else None


def compare_rates(
    counts: UserCounts, arm: int, chance: float, events: AnyArray, total: AnyArray, alpha: float
) -> RateDifference:
    """
    Return the difference between an arm and the other arm of these rows.

    `chance` is the arm's share of both. Of the decisions `total` (rows,), so many have the event (rows,).
    """
    is_arm = np.concatenate([counts.arm == arm] * 2)
    reward = np.repeat([1.0, 0.0], len(counts.arm))
    rows = np.concatenate([events, total - events])
    used = rows > 0
    clusters = Clusters(rows[used].astype(np.float64), np.concatenate([counts.user] * 2)[used])
    terms = (np.where(is_arm, 1 / chance, -1 / (1 - chance)) * reward)[used]
    lifts, losses = count_lifts(terms, clusters), count_lifts(-terms, clusters)
    loss, gain = 1 / (1 - chance), 1 / chance
    return RateDifference(
        value=clusters.mean(terms),
        low=lower_bound(lifts, loss, alpha / 2),
        high=-lower_bound(losses, gain, alpha / 2),
        baseline=_rate(events[counts.arm != arm], total[counts.arm != arm]),
        needed=impressions_needed(lifts, loss, 0.0, alpha / 2),
    )


def _error(experiment: Experiment) -> float:
    """Return the share of ALPHA for one comparison: every candidate has a goal and guardrails."""
    return ALPHA / (max(len(experiment.arms) - 1, 1) * (1 + len(GUARDRAILS)))


def _summarize_arm(experiment: Experiment, counts: UserCounts, index: int) -> ArmResult:
    arm, own = experiment.arms[index], counts.select([index])
    users = int(own.decisions[own.user < 0].sum() + len(np.unique(own.user[own.user >= 0])))
    rates = {name: _rate(events, own.decisions) for name, events in own.events.items()}
    summary = ArmResult(arm.name, arm.share, users, int(own.decisions.sum()), rates)
    both = counts.select([index, experiment.baseline])
    if index == experiment.baseline or len(np.unique(both.arm[both.decisions > 0])) < 2:
        return summary
    chance = arm.share / (arm.share + experiment.arms[experiment.baseline].share)
    alpha = _error(experiment)
    guardrails = {
        name: compare_rates(both, index, chance, events, both.decisions, alpha) for name, events in both.events.items()
    }
    goal = compare_rates(both, index, chance, both.goal, both.matured, alpha) if both.matured.any() else None
    breach = _find_breach(experiment, guardrails) if arm.kind == "policy" else ""
    return replace(summary, goal=goal, guardrails=guardrails, issue=_find_issue(both, index), breach=breach)


def _rate(events: AnyArray, total: AnyArray) -> float:
    return float(events.sum() / total.sum()) if total.any() else 0.0


def _find_issue(both: UserCounts, arm: int) -> str:
    """Return why the goal's lift is no evidence, or an empty text."""
    reached = both.goal > 0
    if (events := both.goal[both.arm == arm].sum()) < MIN_EVENTS:
        return f"{events:g} matured decisions with the goal, expected at least {MIN_EVENTS:g}"
    return find_user_issue(np.ones(int(reached.sum())), Clusters(both.goal[reached].astype(float), both.user[reached]))


def _find_breach(experiment: Experiment, guardrails: Mapping[str, RateDifference]) -> str:
    for name in OUTCOMES:
        difference, rate = guardrails[name], f"{name} rate {guardrails[name].value:+.4f}"
        limit = experiment.max_drop * difference.baseline
        if name == "complaint" and difference.low > limit:
            return f"{rate}, at least {difference.low:+.4f}, allowed {limit:+.4f}"
        if name != "complaint" and difference.high < -limit:
            return f"{rate}, at most {difference.high:+.4f}, allowed {-limit:.4f}"
    for name in FAILURES:
        difference = guardrails[name]
        if difference.low > MAX_FAILURES:
            share = f"share of {name} answers {difference.value:+.4f}"
            return f"{share}, at least {difference.low:+.4f}, allowed {MAX_FAILURES:+g}"
    return ""


def _decide(experiment: Experiment, arms: list[ArmResult], ratio: float) -> tuple[Verdict, str, str | None]:
    if ratio < MISMATCH:
        return "stop", f"sample-ratio mismatch: p = {ratio:.2g}; the arms are not comparable", None
    for arm in arms:
        if arm.breach:
            return "rollback", f"{arm.name}: {arm.breach}", arm.name
    if experiment.until_evidence:
        return _weigh_evidence(experiment, [arms[i] for i in experiment.candidates], sum(a.decisions for a in arms))
    return "continue", "it runs until a person ends it", None


def _weigh_evidence(
    experiment: Experiment, candidates: list[ArmResult], decisions: int
) -> tuple[Verdict, str, str | None]:
    better = [arm for arm in candidates if arm.goal and not arm.issue and arm.goal.low > 0]
    if better:
        best = max(better, key=lambda arm: arm.goal.value if arm.goal else 0.0)
        return "promote", _describe_goal(experiment, best), best.name
    if candidates and all(arm.goal and not arm.issue and arm.goal.high < 0 for arm in candidates):
        return "rollback", "; ".join(_describe_goal(experiment, arm) for arm in candidates), None
    if experiment.planned and decisions >= experiment.planned:
        return "stop", f"no evidence after {decisions:,} decisions, planned {experiment.planned:,}", None
    return "continue", "; ".join(_describe_goal(experiment, arm) for arm in candidates) or "no candidate", None


def _describe_goal(experiment: Experiment, arm: ArmResult) -> str:
    if arm.goal is None or arm.issue:
        return f"{arm.name}: {arm.issue or 'no matured decisions yet'}"
    goal = arm.goal
    interval = f"{goal.value:+.4f} ({goal.low:+.4f} to {goal.high:+.4f})"
    return f"{arm.name}: {experiment.goal} rate {interval} compared with {goal.baseline:.4f}"
