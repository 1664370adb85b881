"""Selection of the policy on the calibration period; the holdout period is not used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from adloom.arrays import Int64Array
from adloom.config.audience import Exploration, TrainPolicy
from adloom.errors import DataError
from adloom.policy import fit, models
from adloom.policy.batch import score_batches
from adloom.policy.impressions import Impressions
from adloom.policy.models import Categories
from adloom.policy.ope import estimators, terms
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import CrossFit, cross_fit
from adloom.policy.ope.terms import Log, PolicyTerms
from adloom.policy.rewards import OUTCOMES
from adloom.policy.rolling_origin import Fold, FoldScorer, split_origins
from adloom.policy.scorer import Policy

RULE = (
    "At several origins of the calibration period, each model is fitted on the log so far. At each temperature, its "
    "lift over uniform decisions is estimated (doubly robust) on the impressions until the next origin, with the "
    "creatives shown before it, together over all origins; a part of the log that tells little about uniform decisions "
    "counts less. Among reliable estimates the highest lower end above 0 wins, at the highest temperature of its model "
    "that loses at most 5 % of it; the first wins ties. Without one the choice is uniform. The chosen model is then "
    "fitted on the whole period."
)
FIXED_TEMPERATURE = ("uniform", "logging")  # models that exist at temperature 1 only
PARTS = 40  # of the impressions that judge, in time order
MIN_INFORMATION = 0.2  # of a part, relative to the best one: parts of a policy that hardly explores have less
HARDLY = 1e-9  # their weight
TOLERANCE = 0.05  # of the best lower end, for a temperature that explores more
NO_CHOICE = "no creative of the last origin was offered with another one"


@dataclass(frozen=True)
class Candidate:
    """A model at a temperature, with its estimated value and lift over uniform decisions."""

    model: str
    temperature: float
    penalty: float | None  # of the linear model
    value: Estimate
    lift: float
    lift_low: float  # lower end of the 95 % interval


@dataclass(frozen=True)
class Validation:
    """The folds of a calibration period, and the log of all impressions that judge."""

    folds: list[Fold]
    log: Log
    predicted: CrossFit

    @classmethod
    def split(cls, data: Impressions, seed: int) -> "Validation | None":
        """Return the folds of a period, None if none judges. Raises DataError without rewards to learn from."""
        if not 0 < data.rewarded < data.count:
            raise DataError(
                f"impressions: {data.rewarded} of {data.count} have {OUTCOMES[data.kind].events} in the calibration "
                "period, expected some but not all; use a longer log, or set train_policy.enabled: false"
            )
        folds = split_origins(data)
        if not folds:
            return None
        log = to_log(data.select(np.concatenate([fold.rows for fold in folds])))
        return cls(folds, log, cross_fit(log.rates, seed=seed, clusters=log.clusters))

    def fit_model(
        self, model: str, categories: Categories, penalty: float, exploration: Exploration = "softmax"
    ) -> FoldScorer:
        """Fit a model at each origin."""
        policies = [fit_model(fold.early, model, categories, penalty, exploration) for fold in self.folds]
        return FoldScorer(self.folds, policies, self.log.cell)

    def collect_terms(self, scorer: FoldScorer, temperature: float, floor: float) -> PolicyTerms:
        """Return the terms of a model at a temperature."""
        return terms.collect_terms(self.log, scorer.score_batches(temperature, floor), self.predicted)

    def weigh_parts(self, uniform: PolicyTerms) -> "Validation":
        """Lower the weight of parts of the log that tell little about uniform decisions."""
        counts, rows = self.log.clusters.counts, len(self.log.action)
        starts = np.unique(np.arange(PARTS) * rows // PARTS)
        squares = (uniform.target / self.log.propensity) ** 2
        variance = np.add.reduceat(counts * squares, starts) / np.add.reduceat(counts, starts)
        information = variance.min() / variance
        weight = np.where(information < MIN_INFORMATION, HARDLY, information).repeat(np.diff([*starts, rows]))
        return replace(self, log=replace(self.log, clusters=replace(self.log.clusters, counts=counts * weight)))

    def evaluate(self, result: PolicyTerms, uniform: PolicyTerms) -> tuple[Estimate, float, float]:
        """Return a policy's doubly robust value, its lift over uniform decisions, and the lift's lower end."""
        lift, low, _ = estimators.estimate_lift(self.log, result, uniform, self.predicted)
        return _estimate_value(result, self.log, self.predicted), lift, low


def evaluate_candidates(data: Impressions, categories: Categories, params: TrainPolicy) -> list[Candidate]:
    """Evaluate every model at every temperature, in tie-breaking order. Raises DataError without rewards."""
    validation = Validation.split(data, params.seed)
    if validation is None:
        return [Candidate("uniform", 1.0, None, Estimate(0.0, 0.0, 0.0, 0, 0.0, 0.0, NO_CHOICE), 0.0, 0.0)]
    penalty = choose_penalty(validation.folds, categories)
    uniform = validation.collect_terms(validation.fit_model("uniform", categories, 0.0), 1.0, 0.0)
    validation = validation.weigh_parts(uniform)
    candidates = []
    for model in params.models:
        scorer = validation.fit_model(model, categories, penalty, params.exploration)
        for temperature in [1.0] if model in FIXED_TEMPERATURE else params.temperatures:
            result = validation.collect_terms(scorer, temperature, params.floor)
            value, *lift = validation.evaluate(result, uniform)
            scaled = [data.unit * number for number in lift]
            chosen_penalty = penalty if model == "linear" else None
            candidates.append(Candidate(model, temperature, chosen_penalty, value.scale(data.unit), *scaled))
    return candidates


def choose_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Apply RULE."""
    better = [candidate for candidate in candidates if candidate.value.trustworthy and candidate.lift_low > 0]
    if not better:
        return next(candidate for candidate in candidates if candidate.model == "uniform")
    best = max(better, key=lambda candidate: candidate.lift_low)
    near = [c for c in better if c.model == best.model and c.lift_low >= (1 - TOLERANCE) * best.lift_low]
    return max(near, key=lambda candidate: candidate.temperature)


def fit_model(
    data: Impressions, model: str, categories: Categories, penalty: float, exploration: Exploration = "softmax"
) -> Policy:
    """Fit a model, with temperature 1 and no floor; only the linear model has variances for Thompson sampling."""
    if model == "linear":
        fitted = fit.fit_linear(data, categories, penalty)
        variances = fitted.estimate_variances(data) if exploration == "thompson" else None
        return replace(fitted.to_policy(data), variances=variances)
    fits = {"uniform": models.fit_uniform, "logging": models.fit_logging, "rates": models.fit_rates}
    return fits[model](data, categories)


def choose_penalty(folds: Sequence[Fold], categories: Categories) -> float:
    """Return a penalty with a lower log loss on the impressions that judge than the next ones of the grid."""

    @cache
    def loss(index: int) -> float:
        if not 0 <= index < len(fit.PENALTIES):
            return np.inf
        fits = [fit.fit_linear(fold.early, categories, fit.PENALTIES[index]) for fold in folds]
        return float(sum(fold.late.count * model.log_loss(fold.late) for fold, model in zip(folds, fits, strict=True)))

    index = len(fit.PENALTIES) // 2
    while (best := min((index, index - 1, index + 1), key=loss)) != index:
        index = best
    return fit.PENALTIES[index]


def to_log(data: Impressions, context: Sequence[str] = ("placement",)) -> Log:
    """Return impressions as a log; `context` names the reward model's columns."""
    return Log(
        data.creatives,
        data.shown,
        data.reward,
        data.propensity,
        _number_contexts(data, context),
        _number_contexts(data, ["placement"]),
        Clusters(data.weight, data.user),
        bool(data.propensity_estimated.any()),
    )


def _number_contexts(data: Impressions, names: Sequence[str]) -> Int64Array:
    """Return the index of each row's context (rows,), ascending by value."""
    code = np.zeros(len(data), np.int64)
    for name in names:
        column = data.context[name]
        code = np.unique(code * (len(column.categories) + 1) + column.codes + 1, return_inverse=True)[1]
    return code


def collect_terms(policy: Policy, data: Impressions, log: Log, predicted: CrossFit) -> PolicyTerms:
    """Return the policy's terms on impressions and their log."""
    return terms.collect_terms(log, score_batches(policy, data, log.cell), predicted)


def estimate_value(policy: Policy, data: Impressions, log: Log, predicted: CrossFit) -> Estimate:
    """Return the policy's doubly robust value on impressions and their log."""
    return _estimate_value(collect_terms(policy, data, log, predicted), log, predicted).scale(data.unit)


def _estimate_value(result: PolicyTerms, log: Log, predicted: CrossFit) -> Estimate:
    return estimators.doubly_robust(
        log.reward,
        log.propensity,
        result.target,
        predicted.predict(log.action),
        result.expected,
        result.support.unsupported,
        log.clusters,
        log.propensity_estimated,
    )


def explain_choice(candidate: Candidate, chosen: Candidate) -> str:
    """Return why a candidate was chosen or not."""
    if candidate is chosen:
        fallback = "chosen, because no other estimate is reliable and above uniform decisions"
        return fallback if candidate.lift_low <= 0 else "chosen"
    if not candidate.value.trustworthy:
        return candidate.value.reliability_issue
    return f"lift over uniform decisions at least {candidate.lift_low:.4g}, chosen {chosen.lift_low:.4g}"


def to_json(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate's entry in the card."""
    value = candidate.value
    return {
        "model": candidate.model,
        "temperature": candidate.temperature,
        "penalty": candidate.penalty,
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "effective_sample_size": value.effective_sample_size,
        "lift": candidate.lift,
        "lift_low": candidate.lift_low,
    }
