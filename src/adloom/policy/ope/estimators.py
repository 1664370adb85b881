"""
Off-policy estimators of a policy's value per row on another policy's log.

Columns (rows,): `reward`; `propensity` in (0, 1], the logging policy's probability of the logged action; `target` in
[0, 1], the evaluated policy's. Weights are target / propensity. All raise DataError for invalid columns.
"""

from typing import Any

import numpy as np

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.estimate import Estimate, effective_sample_size, find_reliability_issue, top_share
from adloom.policy.ope.intervals import Cumulants, cumulants, interval, zero_event_bound

BIAS = "the interval ignores the model's bias; compare with the doubly robust estimate"
MAX_CLIPPED = 0.01  # share of the weight that clipping may remove


def ips(reward: AnyArray, propensity: AnyArray, target: AnyArray, unsupported: float = 0.0) -> Estimate:
    """
    Return the inverse propensity score (Horvitz and Thompson 1952).

    `unsupported` is the policy's probability on actions that the log lacks.
    """
    weight = importance_weights(reward, propensity, target)
    return _build_estimate(
        weight, reward, cumulants(weight, reward), find_reliability_issue(weight, _count_events(reward), unsupported)
    )


def snips(reward: AnyArray, propensity: AnyArray, target: AnyArray, unsupported: float = 0.0) -> Estimate:
    """
    Return the self-normalised inverse propensity score (Swaminathan and Joachims 2015).

    Slightly biased; less variance than `ips` for large rewards.
    """
    weight = importance_weights(reward, propensity, target)
    mean = float(weight.mean())
    if not mean:
        raise DataError("target: 0 in every row; the log has no action of this policy")
    value = float((weight * reward).sum()) / float(weight.sum())
    moments = cumulants(weight / mean, reward - value)
    linear = Cumulants(value, moments.variance, moments.third)
    return _build_estimate(weight, reward, linear, find_reliability_issue(weight, _count_events(reward), unsupported))


def clipped_ips(
    reward: AnyArray, propensity: AnyArray, target: AnyArray, limit: float, unsupported: float = 0.0
) -> Estimate:
    """
    Return the inverse propensity score with weights clipped at `limit` (Ionides 2008).

    Biased downwards; the interval is that of the clipped mean.
    """
    if not limit > 0:
        raise DataError(f"limit: {limit}; expected a weight above 0")
    weight = importance_weights(reward, propensity, target)
    cut = np.minimum(weight, limit)
    total = float(weight.sum())
    clipped = 1 - float(cut.sum()) / total if total else 0.0
    issue = f"clipping at {limit:g} removes {clipped:.1%} of the weight" if clipped > MAX_CLIPPED else ""
    issue = issue or find_reliability_issue(weight, _count_events(reward), unsupported)
    return _build_estimate(cut, reward, cumulants(cut, reward), issue)


def direct(predicted: AnyArray, probabilities: AnyArray) -> Estimate:
    """Return the mean reward predicted by a model (rows, actions); its interval is never reliable."""
    expected = _expected_rewards(predicted, probabilities)
    moments = cumulants(np.ones(len(expected)), expected)
    low, high = interval(moments, bool((expected >= 0).all()))
    return Estimate(
        moments.value, low, high, len(expected), float(len(expected)), top_share(np.ones(len(expected))), BIAS
    )


def doubly_robust(
    reward: AnyArray,
    propensity: AnyArray,
    action: AnyArray,
    probabilities: AnyArray,
    predicted: AnyArray,
    unsupported: float = 0.0,
) -> Estimate:
    """
    Return the doubly robust estimate (Dudik, Langford and Li 2011): direct method plus weighted residuals.

    action (rows,) indexes actions of probabilities and predicted (rows, actions). Predictions must be cross-fitted.
    """
    base = _expected_rewards(predicted, probabilities)
    rows = np.arange(len(base))
    _check_column(
        "action", action, len(base), np.isin(action, np.arange(probabilities.shape[1])), "a column of probabilities"
    )
    weight = importance_weights(reward, propensity, probabilities[rows, action])
    residual = reward - predicted[rows, action]
    moments = cumulants(weight, residual, base)
    return _build_estimate(weight, reward, moments, find_reliability_issue(weight, _count_events(reward), unsupported))


def importance_weights(reward: AnyArray, propensity: AnyArray, target: AnyArray) -> AnyArray:
    """Return target / propensity (rows,)."""
    rows = len(reward)
    if not rows:
        raise DataError("reward: no rows; expected at least one")
    _check_column("reward", reward, rows, np.isfinite(reward), "a finite number")
    _check_column("propensity", propensity, rows, (propensity > 0) & (propensity <= 1), "a probability in (0, 1]")
    _check_column("target", target, rows, (target >= 0) & (target <= 1 + 1e-9), "a probability in [0, 1]")
    return np.asarray(target / propensity, np.float64)


def _check_column(name: str, values: AnyArray, rows: int, is_valid: Any, expected: str) -> None:
    if values.shape != (rows,):
        raise DataError(f"{name}: shape {values.shape}, expected ({rows},), one value per row")
    if not is_valid.all():
        first = int(np.argmin(is_valid))
        raise DataError(
            f"{name}: {values[first]} in row {first} (and {rows - is_valid.sum() - 1} more), expected {expected}"
        )


def _expected_rewards(predicted: AnyArray, probabilities: AnyArray) -> AnyArray:
    """Return the policy's expected reward per row (rows,)."""
    if predicted.shape != probabilities.shape or predicted.ndim != 2 or not len(predicted):
        raise DataError(
            f"predicted: shape {predicted.shape}, probabilities: {probabilities.shape}; expected (rows, actions)"
        )
    rows = len(predicted)
    _check_column("predicted", predicted.sum(1), rows, np.isfinite(predicted).all(1), "finite numbers")
    total = probabilities.sum(1)
    _check_column(
        "probabilities", total, rows, (probabilities >= 0).all(1) & (abs(total - 1) < 1e-6), "non-negative with sum 1"
    )
    return np.asarray((predicted * probabilities).sum(1))


def _count_events(reward: AnyArray) -> int:
    return int(np.count_nonzero(reward))


def _build_estimate(weight: AnyArray, reward: AnyArray, moments: Cumulants, reliability_issue: str) -> Estimate:
    positive = bool((reward >= 0).all())
    low, high = interval(moments, positive)
    if not reward.any():
        high = max(high, moments.value + zero_event_bound(weight))
    return Estimate(
        moments.value, low, high, len(weight), effective_sample_size(weight), top_share(weight), reliability_issue
    )
