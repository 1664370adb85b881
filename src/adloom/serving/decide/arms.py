"""The arms of a running experiment: each decision is drawn from one arm and logged with the mixture of all."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adloom.arrays import Float64Array
from adloom.decision_log.record import Tier
from adloom.experiments.assignment import Assignment
from adloom.policy.content_model import Contents
from adloom.policy.scorer import Scorer, ScoringRequest
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.models.loader import LoadedExperiment

ScoreAll = Callable[[Scorer, Sequence[ScoringRequest]], list[Float64Array | None]]  # None where the policy fails


class ServingArm(NamedTuple):
    """An arm and its policy."""

    name: str
    share: float
    shows_ads: bool
    policy: Scorer | None  # None: uniform
    origin: ModelOrigin | None


class ArmProbabilities(NamedTuple):
    """The probabilities of candidates in each arm that shows ads."""

    columns: Float64Array  # (candidates, arms)
    shares: Float64Array  # (arms,) of the decisions that show ads

    def mix(self) -> list[float]:
        """Return the probability of each candidate before the arm is known (candidates,)."""
        return (self.columns @ self.shares).tolist()  # type: ignore[no-any-return]

    def mix_slate(self, chosen: Sequence[int]) -> list[float]:
        """Return the probability of each chosen candidate, given those above and not the arm (slots,)."""
        remaining, weights, propensities = self.columns.copy(), self.shares, list[float]()
        for i in chosen:
            joint = weights * remaining[i] / remaining.sum(0)
            propensities.append(float(joint.sum() / weights.sum()))
            remaining[i], weights = 0.0, joint
        return propensities


class ServingExperiment:
    """A running experiment, prepared for decisions."""

    def __init__(self, loaded: LoadedExperiment, ads: Mapping[str, Contents]) -> None:
        experiment = loaded.experiment
        self.name = experiment.name
        self.arms: list[ServingArm] = []
        for arm in experiment.arms:
            model = None if arm.version is None else loaded.policies[arm.version]
            policy = model.model.extend(ads.get(model.card.reader or "")) if model else None
            origin = model.origin if model else None
            self.arms.append(ServingArm(arm.name, arm.share, arm.kind != "no ad", policy, origin))
        self.assign = Assignment(experiment.key, [arm.share for arm in self.arms]).assign
        self._shown = [i for i, arm in enumerate(self.arms) if arm.shows_ads]
        shares = np.array([self.arms[i].share for i in self._shown])
        self._shares = shares / shares.sum()
        self.columns = len(shares)

    def score(self, requests: Sequence[ScoringRequest], score_all: ScoreAll) -> list[Float64Array]:
        """Return each request's probabilities (candidates, arms that show ads); NaN where a policy fails."""
        uniform = [np.full(count := len(request.candidates), 1 / max(count, 1)) for request in requests]
        by_arm = []
        for policy in (self.arms[i].policy for i in self._shown):
            scores = score_all(policy, requests) if policy else uniform
            by_arm.append([u * np.nan if p is None else p for p, u in zip(scores, uniform, strict=True)])
        return [np.stack(columns, 1) for columns in zip(*by_arm, strict=True)]

    def distribute(self, columns: Float64Array, tier: Tier, arm: int) -> tuple[Tier, list[float], ArmProbabilities]:
        """Return an arm's tier and probabilities, and those of all arms; a policy that fails decides uniformly."""
        failed = np.isnan(columns)
        if failed.any():
            columns = np.where(failed, 1 / len(columns), columns)
        probabilities = ArmProbabilities(columns, self._shares)
        if not self.arms[arm].shows_ads:
            return tier, [], probabilities
        column = self._shown.index(arm)
        own: Tier = "default" if failed[:, column].any() else tier
        return own, columns[:, column].tolist(), probabilities
