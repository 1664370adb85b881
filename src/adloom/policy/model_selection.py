"""
Which policy becomes the model: every candidate fitted on the first two thirds of the calibration period and valued on
the last third by what it would have earned there, and one rule. The holdout period is not looked at.
"""

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
    "Each model is fitted on the first two thirds of the calibration period and valued on the last third, at each "
    "temperature, by the doubly robust estimate of its click rate. Of those whose interval is to be trusted, the one "
    "with the highest lower end is chosen, for what is likely good and not for what may be; of several such the "
    "first. When none is to be trusted, it is uniform. What was chosen is then fitted on the whole period."
)
EARLY_SHARE = 2 / 3  # of the time of the calibration period
FIXED_TEMPERATURE = ("uniform", "logging")  # models whose temperature is 1: another would make them something else


@dataclass(frozen=True)
class Candidate:
    """A model at a temperature, and what it was estimated to earn per impression."""

    model: str
    temperature: float
    penalty: float | None  # of the linear model
    value: Estimate


@dataclass(frozen=True)
class Periods:
    """The calibration period: all of it, its first part to fit on, its last part to value on."""

    whole: Impressions
    early: Impressions
    late: Impressions

    @classmethod
    def of(cls, data: Impressions) -> "Periods":
        """Cut impressions. Raises DataError when a part has none, or no click."""
        first = data.before(EARLY_SHARE)
        found = cls(data, data.take(first), data.take(~first))
        for name, part in (("first two thirds", found.early), ("last third", found.late)):
            if not 0 < part.clicked.sum() < len(part):
                raise DataError(
                    f"impressions: {part.clicked.sum():.0f} of {len(part)} clicked in the {name} of the calibration "
                    "period, expected some and not all; bring a longer log, or set train_policy.enabled: false"
                )
        return found


def evaluate_candidates(periods: Periods, categories: Categories, params: TrainPolicy) -> list[Candidate]:
    """Value every model at every temperature, in the order in which ties are broken."""
    penalty = choose_penalty(periods, categories)
    predicted = predict_click_rates(periods.late, params.seed)
    found = []
    for model in params.models:
        fitted = fit_model(periods.early, model, categories, penalty)
        for temperature in [1.0] if model in FIXED_TEMPERATURE else params.temperatures:
            tried = replace(fitted, temperature=temperature, floor=params.floor)
            value = estimate_value(periods.late, compute_probabilities(tried, periods.late), predicted)
            found.append(Candidate(model, temperature, penalty if model == "linear" else None, value))
    return found


def choose_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Apply RULE."""
    trusted = [candidate for candidate in candidates if candidate.value.trustworthy]
    if not trusted:
        return next(candidate for candidate in candidates if candidate.model == "uniform")
    return max(trusted, key=lambda candidate: candidate.value.low)


def fit_model(data: Impressions, model: str, categories: Categories, penalty: float) -> Policy:
    """Return one of the models, of temperature 1 and without a floor."""
    if model == "linear":
        return fit.fit_linear(data, categories, penalty).policy(data)
    made: dict[str, Any] = {"uniform": models.fit_uniform, "logging": models.fit_logging, "rates": models.fit_rates}
    policy: Policy = made[model](data, categories)
    return policy


def choose_penalty(periods: Periods, categories: Categories) -> float:
    """Return the penalty of the linear model under which the clicks of the last third are the least surprising."""
    return min(fit.PENALTIES, key=lambda penalty: fit.fit_linear(periods.early, categories, penalty).loss(periods.late))


def predict_click_rates(data: Impressions, seed: int) -> Float64Array:
    """Return the cross-fitted click rate of every creative in every row (rows, creatives)."""
    rates = reward_model.Rates(_placement_indices(data), data.shown, data.clicked, len(data.creatives))
    return reward_model.cross_fit(rates, len(data), len(data.creatives), seed=seed)


def estimate_value(data: Impressions, shown: Float64Array, predicted: Float64Array) -> Estimate:
    """Return the doubly robust value of a policy that shows creatives with these probabilities (rows, creatives)."""
    lost = unsupported_share(data, shown)
    return estimators.doubly_robust(data.clicked, data.propensity, data.shown, shown, predicted, lost)


def unsupported_share(data: Impressions, shown: Float64Array) -> float:
    """Return the probability on creatives that the log never took where it could have."""
    return measure_support(data.shown, shown, data.creatives, _placement_indices(data)).unsupported


def _placement_indices(data: Impressions) -> Int64Array:
    return np.unique(data.context["placement"], return_inverse=True)[1].astype(np.int64)


def explain_choice(candidate: Candidate, chosen: Candidate) -> str:
    """Return in a few words why a candidate was chosen or not."""
    if candidate is chosen:
        return "chosen"
    if not candidate.value.trustworthy:
        return candidate.value.why_not
    return f"lower end {candidate.value.low:.4%}, chosen {chosen.value.low:.4%}"


def to_json(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as the card has it."""
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
