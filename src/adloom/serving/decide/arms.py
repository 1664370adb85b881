"""
The arms of a running experiment.

A decision is drawn from its own arm. The other arms, and a policy in the shadow, are scored when some answers are sent;
then the decisions are logged with the mixture of all arms.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from msgspec import structs

from adloom.arrays import Float64Array
from adloom.decision_log.record import Decision, Tier
from adloom.experiments.assignment import Assignment
from adloom.policy.scorer import Scorer, ScoringRequest
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.library.ad_contents import AdContents
from adloom.serving.metrics import Histogram
from adloom.serving.models.loader import LoadedExperiment

SHADOW_BUCKETS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)  # seconds
DISTANCE_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

ScoreAll = Callable[[Scorer, Sequence[ScoringRequest]], list[Float64Array | None]]  # None where the policy fails


class ServingArm(NamedTuple):
    """An arm and its policy."""

    name: str
    share: float
    shows_ads: bool
    policy: Scorer | None  # None: uniform
    origin: ModelOrigin | None


class OwnScores(NamedTuple):
    """The scores by which an arm decided."""

    request: ScoringRequest
    arm: int
    tier: Tier
    probabilities: Float64Array | None  # (candidates,); None: uniform
    is_late: bool  # so that every arm would have decided uniformly


class ArmMixture(NamedTuple):
    """The probabilities of candidates in each arm that shows ads."""

    shares: Float64Array  # (arms,) of the decisions that show ads
    arms: Float64Array  # (arms, candidates)
    probabilities: list[float]  # (candidates,) of all arms

    def complete(self, decision: Decision, chosen: Sequence[int]) -> Decision:
        """Return a decision with the probabilities of all arms; `chosen` are indices of candidates (slots,)."""
        propensities = [self.probabilities[i] for i in chosen] if len(chosen) < 2 else self.propensities(chosen)
        return structs.replace(decision, probabilities=self.probabilities, propensities=propensities)

    def propensities(self, chosen: Sequence[int]) -> list[float]:
        """Return the probability of each chosen candidate, given those above and not the arm (slots,)."""
        remaining, weights, propensities = self.arms.copy(), self.shares, list[float]()
        for i in chosen:
            total = remaining.sum(1)
            joint = weights * np.divide(remaining[:, i], total, out=np.zeros_like(total), where=total > 0)
            propensities.append(propensity := float(joint.sum()))
            remaining[:, i] = 0.0
            weights = joint / propensity if propensity else weights  # at once, so that tiny products do not become 0
        return propensities


@dataclass
class ExperimentStatistics:
    """Counts of a process, for metrics."""

    decisions: Counter[str] = field(default_factory=Counter)  # by arm
    shadow_seconds: Histogram = field(default_factory=lambda: Histogram(SHADOW_BUCKETS))  # per decision
    shadow_distance: Histogram = field(default_factory=lambda: Histogram(DISTANCE_BUCKETS))  # total variation
    shadow_errors: int = 0  # decisions


class ServingExperiment:
    """A running experiment, prepared for decisions."""

    def __init__(self, loaded: LoadedExperiment, ads: AdContents) -> None:
        experiment = loaded.experiment
        self.name = experiment.name
        scorers = {version: model.model.extend(ads.describe(model.card)) for version, model in loaded.policies.items()}
        self.shadow = None if experiment.shadow is None else scorers[experiment.shadow]
        self.arms = [
            ServingArm(
                arm.name,
                arm.share,
                arm.kind != "no ad",
                None if arm.version is None else scorers[arm.version],
                None if arm.version is None else loaded.policies[arm.version].origin,
            )
            for arm in experiment.arms
        ]
        self.assign = Assignment(experiment.key, [arm.share for arm in self.arms]).assign
        self.baseline = experiment.baseline
        self._shown = [i for i, arm in enumerate(self.arms) if arm.shows_ads]
        shares = np.array([self.arms[i].share for i in self._shown])
        self._shares = shares / shares.sum()

    def score(self, requests: Sequence[ScoringRequest], arms: Sequence[int], score_all: ScoreAll) -> list[OwnScores]:
        """Return the scores of each request in its arm."""
        scores: dict[int, Float64Array | None] = {}
        for arm in {*arms}:
            if policy := self.arms[arm].policy:
                rows = [row for row, other in enumerate(arms) if other == arm]
                scores |= zip(rows, score_all(policy, [requests[row] for row in rows]), strict=True)
        return [
            OwnScores(
                request, arm, "default" if row in scores and scores[row] is None else "model", scores.get(row), False
            )
            for row, (request, arm) in enumerate(zip(requests, arms, strict=True))
        ]

    def distribute(self, own: OwnScores) -> tuple[Tier, list[float], OwnScores]:
        """Return the tier and the probabilities to draw from; none in the arm without ads."""
        if not self.arms[own.arm].shows_ads:
            return own.tier, [], own
        if own.probabilities is not None:
            return own.tier, own.probabilities.tolist(), own
        count = len(own.request.candidates)
        return own.tier, [1 / max(count, 1)] * count, own

    def mix(self, own: Sequence[OwnScores], score_all: ScoreAll) -> list[ArmMixture]:
        """Return the probabilities in all arms that show ads; a policy that fails decides uniformly."""
        sizes = [len(scores.request.candidates) for scores in own]
        parts = [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        arms = np.tile((1 / np.maximum(sizes, 1)).repeat(sizes), (len(self._shown), 1))  # (arms, candidates of all)
        for row, arm in zip(arms, self._shown, strict=True):
            for part, probabilities in zip(parts, self._score_arm(arm, own, score_all), strict=True):
                if probabilities is not None:
                    row[part] = probabilities
        mixed = (self._shares @ arms).tolist()  # of all decisions at once
        return [ArmMixture(self._shares, arms[:, part], mixed[part]) for part in parts]

    def _score_arm(self, arm: int, own: Sequence[OwnScores], score_all: ScoreAll) -> list[Float64Array | None]:
        """Return the probabilities of each decision in an arm; None where it decides uniformly."""
        probabilities = [s.probabilities if s.arm == arm else None for s in own]
        if policy := self.arms[arm].policy:
            others = [i for i, scores in enumerate(own) if not scores.is_late and scores.arm != arm]
            for i, scored in zip(others, score_all(policy, [own[i].request for i in others]), strict=True):
                probabilities[i] = scored
        return probabilities

    def compare_shadow(self, own: Sequence[OwnScores], score_all: ScoreAll, statistics: ExperimentStatistics) -> None:
        """Score requests of the baseline by the shadow, and observe its latency, errors and distance."""
        compared = [(s.request, s.probabilities) for s in own if s.arm == self.baseline and s.probabilities is not None]
        if self.shadow is None or not compared:
            return
        start = time.perf_counter()
        scores = score_all(self.shadow, [request for request, _ in compared])
        seconds = (time.perf_counter() - start) / len(compared)
        for (_, shown), scored in zip(compared, scores, strict=True):
            statistics.shadow_seconds.observe(seconds)
            if scored is None:
                statistics.shadow_errors += 1
            else:
                statistics.shadow_distance.observe(float(np.abs(scored - shown).sum()) / 2)
