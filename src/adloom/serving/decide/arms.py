"""
The arms of a running experiment.

A decision is drawn, and logged, by the probabilities of its own arm, so an experiment costs no more than the policies
that decide. A policy in the shadow is scored when answers are sent.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from adloom.arrays import Float64Array
from adloom.decision_log.record import Tier
from adloom.experiments.assignment import Assignment
from adloom.policy.scorer import Scorer, ScoringRequest
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.library.ad_contents import AdContents
from adloom.serving.metrics import Histogram
from adloom.serving.models.loader import LoadedExperiment

SHADOW_BUCKETS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)  # seconds
DISTANCE_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

ScoreAll = Callable[[Scorer, Sequence[ScoringRequest]], list[Float64Array | None]]  # None where the policy fails
Distribution = tuple[Tier, list[float]]  # the probability of each candidate (candidates,)


class ServingArm(NamedTuple):
    """An arm and its policy."""

    name: str
    share: float
    shows_ads: bool
    policy: Scorer | None  # None: uniform
    origin: ModelOrigin | None

    def distribute_evenly(self, tier: Tier, count: int) -> Distribution:
        """Return uniform probabilities of `count` candidates; none in the arm without ads."""
        return tier, distribute_evenly(count) if self.shows_ads else []


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
        self._shadow = None if experiment.shadow is None else scorers[experiment.shadow]
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
        self._baseline = experiment.baseline
        self._shown: list[tuple[ScoringRequest, Float64Array]] = []  # by the baseline, to compare with the shadow

    def distribute(
        self, requests: Sequence[ScoringRequest], arms: Sequence[int], score_all: ScoreAll
    ) -> list[Distribution]:
        """Return the distribution of each request in its arm; a policy that fails decides uniformly."""
        scores = self._score(requests, arms, score_all)
        return [
            self._distribute(request, arm, scores.get(row))
            for row, (request, arm) in enumerate(zip(requests, arms, strict=True))
        ]

    def _score(
        self, requests: Sequence[ScoringRequest], arms: Sequence[int], score_all: ScoreAll
    ) -> dict[int, Float64Array | None]:
        """Return the probabilities of each row whose arm has a policy."""
        scores: dict[int, Float64Array | None] = {}
        for arm in {*arms}:
            if policy := self.arms[arm].policy:
                rows = [row for row, other in enumerate(arms) if other == arm]
                scores |= zip(rows, score_all(policy, [requests[row] for row in rows]), strict=True)
        return scores

    def _distribute(self, request: ScoringRequest, number: int, probabilities: Float64Array | None) -> Distribution:
        arm = self.arms[number]
        if probabilities is None:
            return arm.distribute_evenly("default" if arm.policy else "model", len(request.candidates))
        if self._shadow and number == self._baseline:
            self._shown.append((request, probabilities))
        return "model", probabilities.tolist()

    def compare_shadow(self, score_all: ScoreAll, statistics: ExperimentStatistics) -> None:
        """Score by the shadow what the baseline has shown, and observe its latency, errors and distance."""
        shown, self._shown = self._shown, []
        if not self._shadow or not shown:
            return
        start = time.perf_counter()
        scores = score_all(self._shadow, [request for request, _ in shown])
        seconds = (time.perf_counter() - start) / len(shown)
        for (_, probabilities), scored in zip(shown, scores, strict=True):
            statistics.shadow_seconds.observe(seconds)
            if scored is None:
                statistics.shadow_errors += 1
            else:
                statistics.shadow_distance.observe(float(np.abs(scored - probabilities).sum()) / 2)


def distribute_evenly(count: int) -> list[float]:
    """Return the same probability for each of `count` candidates."""
    return [1 / max(count, 1)] * count
