"""Selection of the policy on the calibration period; the holdout period is not used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adloom.arrays import Float64Array, Int64Array
from adloom.config.params import TrainPolicy
from adloom.errors import DataError
from adloom.policy import fit, models
from adloom.policy.batch import compute_probabilities
from adloom.policy.impressions import Impressions
from adloom.policy.models import Categories
from adloom.policy.ope import estimators, reward_model
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.support import measure_support
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
        first = data.before(EARLY_SHARE)
        periods = cls(data, data.select(first), data.select(~first))
        for name, part in (("first two thirds", periods.early), ("last third", periods.late)):
            if not 0 < part.clicked.sum() < len(part):
                raise DataError(
                    f"impressions: {part.clicked.sum():.0f} of {len(part)} clicked in the {name} of the calibration "
                    "period, expected some but not all; use a longer log, or set train_policy.enabled: false"
                )
        return periods


def evaluate_candidates(periods: Periods, categories: Categories, params: TrainPolicy) -> list[Candidate]:
    """Evaluate every model at every temperature, in tie-breaking order."""
    penalty = choose_penalty(periods, categories)
    predicted = predict_click_rates(periods.late, params.seed)
    candidates = []
    for model in params.models:
        fitted = fit_model(periods.early, model, categories, penalty)
        for temperature in [1.0] if model in FIXED_TEMPERATURE else params.temperatures:
            policy = replace(fitted, temperature=temperature, floor=params.floor)
            value = estimate_value(periods.late, compute_probabilities(policy, periods.late), predicted)
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


def predict_click_rates(data: Impressions, seed: int) -> Float64Array:
    """Return cross-fitted click rates (rows, creatives)."""
    rates = reward_model.Rates(_placement_indices(data), data.shown, data.clicked, len(data.creatives))
    return reward_model.cross_fit(rates, len(data), len(data.creatives), seed=seed)


def estimate_value(data: Impressions, shown: Float64Array, predicted: Float64Array) -> Estimate:
    """Return the doubly robust value of probabilities (rows, creatives)."""
    unsupported = unsupported_share(data, shown)
    return estimators.doubly_robust(data.clicked, data.propensity, data.shown, shown, predicted, unsupported)


def unsupported_share(data: Impressions, shown: Float64Array) -> float:
    """Return the probability on creatives without support in their placement."""
    return measure_support(data.shown, shown, data.creatives, _placement_indices(data)).unsupported


def _placement_indices(data: Impressions) -> Int64Array:
    return np.unique(data.context["placement"], return_inverse=True)[1].astype(np.int64)


def explain_choice(candidate: Candidate, chosen: Candidate) -> str:
    """Return why a candidate was chosen or not."""
    if candidate is chosen:
        return "chosen"
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
