"""Selection of the policy on the calibration period; the holdout period is not used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adloom.arrays import Int64Array
from adloom.config.audience import TrainPolicy
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
from adloom.policy.scorer import Policy

RULE = (
    "Each model is fitted on the first two thirds of the calibration period. At each temperature, its click rate on "
    "the last third is estimated (doubly robust). Among reliable intervals the highest lower end wins; the first wins "
    "ties. Without a reliable interval the choice is uniform. The chosen model is then fitted on the whole period."
)
EARLY_SHARE = 2 / 3  # of the time of the calibration period
FIXED_TEMPERATURE = ("uniform", "logging")  # models that exist at temperature 1 only


@dataclass(frozen=True)
class Candidate:
    """A model at a temperature, with its estimated value."""

    model: str
    temperature: float
    penalty: float | None  # of the linear model
    value: Estimate


@dataclass(frozen=True)
class Periods:
    """The calibration period and its two parts."""

    whole: Impressions
    early: Impressions
    late: Impressions

    @classmethod
    def split(cls, data: Impressions) -> "Periods":
        """Split impressions. Raises DataError if a part lacks rows, clicks or misses."""
        periods = cls(data, *data.split(EARLY_SHARE))
        for name, part in (("first two thirds", periods.early), ("last third", periods.late)):
            if not 0 < part.rewarded < part.count:
                raise DataError(
                    f"impressions: {part.rewarded} of {part.count} clicked in the {name} of the calibration "
                    "period, expected some but not all; use a longer log, or set train_policy.enabled: false"
                )
        return periods


def evaluate_candidates(periods: Periods, categories: Categories, params: TrainPolicy) -> list[Candidate]:
    """Evaluate every model at every temperature, in tie-breaking order."""
    penalty = choose_penalty(periods, categories)
    log = to_log(periods.late)
    predicted = cross_fit(log.rates, seed=params.seed, clusters=log.clusters)
    candidates = []
    for model in params.models:
        fitted = fit_model(periods.early, model, categories, penalty)
        for temperature in [1.0] if model in FIXED_TEMPERATURE else params.temperatures:
            policy = replace(fitted, temperature=temperature, floor=params.floor)
            value = estimate_value(policy, periods.late, log, predicted)
            candidates.append(Candidate(model, temperature, penalty if model == "linear" else None, value))
    return candidates


def choose_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Apply RULE."""
    reliable = [candidate for candidate in candidates if candidate.value.trustworthy]
    if not reliable:
        return next(candidate for candidate in candidates if candidate.model == "uniform")
    return max(reliable, key=lambda candidate: candidate.value.low)


def fit_model(data: Impressions, model: str, categories: Categories, penalty: float) -> Policy:
    """Fit a model, with temperature 1 and no floor."""
    if model == "linear":
        return fit.fit_linear(data, categories, penalty).to_policy(data)
    fits = {"uniform": models.fit_uniform, "logging": models.fit_logging, "rates": models.fit_rates}
    return fits[model](data, categories)


def choose_penalty(periods: Periods, categories: Categories) -> float:
    """Return the penalty with the lowest log loss on the last third."""
    return min(
        fit.PENALTIES, key=lambda penalty: fit.fit_linear(periods.early, categories, penalty).log_loss(periods.late)
    )


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
    result = collect_terms(policy, data, log, predicted)
    return estimators.doubly_robust(
        log.reward,
        log.propensity,
        result.target,
        predicted.predict(log.action),
        result.expected,
        result.support.unsupported,
        log.clusters,
    )


def explain_choice(candidate: Candidate, chosen: Candidate) -> str:
    """Return why a candidate was chosen or not."""
    if candidate is chosen:
        issue = candidate.value.reliability_issue
        return f"chosen, because no estimate is reliable: {issue}" if issue else "chosen"
    if not candidate.value.trustworthy:
        return candidate.value.reliability_issue
    return f"lower end {candidate.value.low:.4%}, chosen {chosen.value.low:.4%}"


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
    }
