"""Refresh a policy from the statistics of a log: refit it, limit its move, and evaluate it on held-out users."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache

import numpy as np
import pandas as pd

from adloom.arrays import Float32Array
from adloom.config.audience import Exploration
from adloom.config.gate import Verdict
from adloom.evaluation.metric import Metric
from adloom.policy import model_selection
from adloom.policy.batch import ContextIndex, score_batches
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.ope.estimate import MAX_UNSUPPORTED
from adloom.policy.ope.estimators import doubly_robust, estimate_lift
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.rewards import OUTCOMES, SPEND_SHARE
from adloom.policy.scorer import Policy
from adloom.policy.statistics import ImpressionStatistics
from adloom.policy.thompson import Variances

NO_GUARDRAILS: Mapping[str, float] = {}
HALVINGS = 12  # of the interval of steps


@dataclass(frozen=True)
class LiftEstimate:
    """The difference from the champion, in outcomes per impression of held-out users, with its 95 % interval."""

    value: float
    low: float
    high: float
    unsupported: float  # probability of the policy on creatives without impressions
    rate: Metric  # of the policy
    largest_share: float  # of the impressions that the policy gives one creative

    def is_worse(self, kind: str, margin: float) -> bool:
        """Return whether the policy is certainly worse by more than a margin."""
        return self.low > margin if OUTCOMES[kind].less_is_better else self.high < -margin

    def describe(self, kind: str, margin: float) -> str:
        """Return one line of text."""
        text = f"{kind}s per impression of held-out users: {self.value:+.5f} (95 % {self.low:+.5f} to {self.high:+.5f})"
        return f"{text}: certainly worse" if self.is_worse(kind, margin) else text


@dataclass(frozen=True)
class Refresh:
    """A refreshed policy with the verdict of the gate's fast lane."""

    policy: Policy
    step: float  # share of the way from the champion to the new fit
    divergence: float  # KL divergence from the champion, in nats per decision
    lift: float  # in outcomes per impression of held-out users
    verdict: Verdict
    reasons: list[str]
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # of the policy, by the impressions of held-out users


def refresh_policy(
    champion: Policy,
    statistics: ImpressionStatistics,
    penalty: float,
    max_divergence: float,
    guardrails: Mapping[str, float] = NO_GUARDRAILS,
    goal: str = "click",
) -> Refresh:
    """
    Return the champion, refitted and moved as far as `max_divergence` allows, with a verdict.

    The goal is a kind of feedback. `guardrails` are margins by the other kinds, in outcomes per impression. Held-out
    users judge and never train, so that a champion has no advantage on them. Raises DataError without the goal.
    """
    recent = read_weighted(statistics.to_evaluation(held_out=False))
    training = read_weighted(statistics.to_impressions(held_out=False, kind=goal))
    policy, step, divergence = _move(champion, training, recent, penalty, max_divergence)
    lift = _estimate_lift(policy, champion, statistics, goal)
    others = {kind: _estimate_lift(policy, champion, statistics, kind) for kind in guardrails}
    moved = f"moves {step:.0%} of the way to the new fit, {divergence:.4f} nats from the champion"
    share = f"{lift.unsupported:.1%} of the probability is on creatives without impressions"
    reasons = [
        f"{moved}, at most {max_divergence:g}",
        f"{share}, at most {MAX_UNSUPPORTED:.0%}",
        lift.describe(goal, 0.0),
        *(other.describe(kind, guardrails[kind]) for kind, other in others.items()),
    ]
    worse = lift.is_worse(goal, 0.0) or any(other.is_worse(k, guardrails[k]) for k, other in others.items())
    verdict: Verdict = "reject" if worse else "promote" if lift.unsupported <= MAX_UNSUPPORTED else "hold"
    spend = Metric(
        lift.largest_share, lift.largest_share, lift.largest_share, lift.rate.n, "share"
    )  # costs are unknown
    rates = {OUTCOMES[kind].metric: each.rate for kind, each in {goal: lift, **others}.items()}
    return Refresh(policy, step, divergence, lift.value, verdict, reasons, {**rates, SPEND_SHARE: spend})


def blend(champion: Policy, fitted: Policy, step: float) -> Policy:
    """Return the champion with its scores moved a step (0 to 1) towards the fitted ones."""
    features = tuple(dict.fromkeys([*champion.features, *fitted.features]))
    known = [dict(zip(policy.features, policy.values, strict=True)) for policy in (champion, fitted)]
    values = tuple(tuple(sorted({value for of in known for value in of.get(name, ())})) for name in features)
    category_of = {
        c: k for policy in (fitted, champion) for c, k in zip(policy.creatives, policy.category, strict=True)
    }
    history = {*fitted.creatives, *champion.creatives[: len(champion.creatives) - champion.new]}
    names = [*sorted(history), *sorted(category_of.keys() - history)]
    frame = replace(
        champion,
        creatives=tuple(names),
        category=np.array([category_of[name] for name in names], np.int64),
        new=len(names) - len(history),
        features=features,
        values=values,
        bias=np.zeros(len(names), np.float32),
        weights=tuple(np.zeros((len(known_values) + 1, len(names)), np.float32) for known_values in values),
        variances=None,
    )
    old = _align(champion, champion, frame)
    new = _align(fitted, fitted, frame, fallback=old)
    moved = _mix(old, new, step)
    variances = None
    if champion.variances and fitted.variances:
        before = _align(champion, champion.variances, frame)
        variances = _mix(before, _align(fitted, fitted.variances, frame, fallback=before), step)
    return replace(frame, bias=moved.bias, weights=moved.weights, prior=moved.prior, variances=variances)


def _align(policy: Policy, terms: Policy | Variances, frame: Policy, fallback: Variances | None = None) -> Variances:
    """Return a policy's terms for the creatives, features and values of a frame."""
    number = {creative: i for i, creative in enumerate(policy.creatives)}
    column = np.array([number.get(creative, -1) for creative in frame.creatives], np.int64)
    unknown = column < 0
    bias = np.where(unknown, terms.prior[frame.category], terms.bias[column])
    weights = []
    for feature, names in zip(frame.features, frame.values, strict=True):
        weights.append(_align_feature(policy, terms, feature, names)[:, column] * ~unknown)
    if fallback:
        bias = np.where(unknown, fallback.bias, bias)
        weights = [np.where(unknown, other, own) for own, other in zip(weights, fallback.weights, strict=True)]
    return Variances(bias, tuple(weights), terms.prior)


def _align_feature(
    policy: Policy, terms: Policy | Variances, feature: tuple[str, ...], names: tuple[str, ...]
) -> Float32Array:
    """Return the weights of a feature's values (names + 1, creatives), those of unknown values where they are new."""
    if feature not in policy.features:
        return np.zeros((len(names) + 1, len(policy.creatives)), np.float32)
    place = policy.features.index(feature)
    row = {value: i for i, value in enumerate(policy.values[place], 1)}
    return terms.weights[place][[0, *(row.get(name, 0) for name in names)]]


def _mix(old: Variances, new: Variances, step: float) -> Variances:
    pairs = ((old.bias, new.bias), (old.prior, new.prior), *zip(old.weights, new.weights, strict=True))
    bias, prior, *weights = (((1 - step) * a + step * b).astype(np.float32) for a, b in pairs)
    return Variances(bias, tuple(weights), prior)


def measure_divergence(policy: Policy, champion: Policy, data: Impressions, index: ContextIndex) -> float:
    """Return the mean KL divergence of a policy from the champion; both have the features and values of the index."""
    cell = np.zeros(len(data), np.int64)
    pairs = zip(*(score_batches(one, data, cell, index) for one in (policy, champion)), strict=True)
    total = 0.0
    for ours, theirs in pairs:
        terms = ours.probability * np.log(ours.probability / theirs.probability)
        by_context = np.add.reduceat(terms, ours.starts[:-1])
        total += float((by_context * np.bincount(ours.context, data.weight[ours.rows])).sum())
    return total / float(data.weight.sum())


def _move(
    champion: Policy, training: Impressions, recent: Impressions, penalty: float, limit: float
) -> tuple[Policy, float, float]:
    """Return the champion, moved as far towards a new fit as the limit allows, the step and the divergence."""
    exploration: Exploration = "thompson" if champion.variances else "softmax"
    fitted = model_selection.fit_model(training, "linear", Categories.from_policy(champion), penalty, exploration)
    still = blend(champion, fitted, 0.0)
    index = ContextIndex.build(still, recent, np.zeros(len(recent), np.int64))  # all steps have these features

    @cache
    def divergence(step: float) -> float:
        return measure_divergence(blend(champion, fitted, step), still, recent, index)

    step, beyond = (1.0, 1.0) if divergence(1.0) <= limit else (0.0, 1.0)
    for _ in range(HALVINGS if step < beyond else 0):
        middle = (step + beyond) / 2
        step, beyond = (middle, beyond) if divergence(middle) <= limit else (step, middle)
    return blend(champion, fitted, step), step, divergence(step)


def _estimate_lift(policy: Policy, champion: Policy, statistics: ImpressionStatistics, kind: str) -> LiftEstimate:
    """Return the doubly robust lift of a kind of feedback over the champion, and its rate."""
    data = read_weighted(statistics.to_evaluation(held_out=True, kind=kind))
    arrived = statistics.find_arrival(data.timestamp.astype("datetime64[h]").astype(np.int64), kind)
    log = model_selection.to_log(replace(data, reward=data.reward / arrived))  # for those still to come
    predicted = cross_fit(log.rates, clusters=log.clusters)
    ours, theirs = (model_selection.collect_terms(one, data, log, predicted) for one in (policy, champion))
    difference = estimate_lift(log, ours, theirs, predicted)
    columns = (log.reward, log.propensity, ours.target, predicted.predict(log.action), ours.expected)
    best = doubly_robust(*columns, clusters=log.clusters)
    rate = Metric(max(best.value, 0.0), max(best.low, 0.0), best.high, best.n, "share")
    return LiftEstimate(*difference, ours.support.unsupported, rate, float(ours.share.max()))


def read_weighted(rows: pd.DataFrame) -> Impressions:
    """Return an impressions table of statistics as arrays."""
    single = rows.astype({"creative_id": object})  # Arrow reads strings of a joined table in several pieces
    return read_impressions(lambda _: [single], timedelta(0))[0]
