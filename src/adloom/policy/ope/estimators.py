"""
Off-policy evaluation: what a policy would have earned on a log that another policy wrote.

Every estimator takes columns of one row per impression: `reward` (rows,), any finite unit; `propensity` (rows,) in
(0, 1], the probability with which the logging policy took the action it took; `target` (rows,) in [0, 1], the
probability with which the evaluated policy takes that action. The weight of a row is target / propensity. The value is
the mean reward per row that the policy earns in the very situations the log met: where its own decisions would have led
to other situations, such as less worn-out creatives, no log of another policy can tell.

All raise DataError naming the column, the row and what was expected.
"""

from typing import Any

import numpy as np

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.estimate import Estimate, effective_sample_size, find_reliability_issue, top_share
from adloom.policy.ope.intervals import Cumulants, cumulants, interval, zero_event_bound

BIAS = "a model's own bias is not in its interval; read it beside the doubly robust estimate"
MAX_CLIPPED = 0.01  # of the weight, that clipping may take before the interval is not the value's any more


def ips(reward: AnyArray, propensity: AnyArray, target: AnyArray, unsupported: float = 0.0) -> Estimate:
    """
    Return the inverse propensity score: the mean of weight * reward (Horvitz and Thompson 1952).

    Unbiased where the log takes every action that the policy takes. `unsupported` is the probability the policy puts
    on actions that it never took, where that is known (see `support`); it goes into the rule of trust.
    """
    weight = importance_weights(reward, propensity, target)
    return _build_estimate(
        weight, reward, cumulants(weight, reward), find_reliability_issue(weight, _count_events(reward), unsupported)
    )


def snips(reward: AnyArray, propensity: AnyArray, target: AnyArray, unsupported: float = 0.0) -> Estimate:
    """
    Return the self-normalised inverse propensity score: sum(weight * reward) / sum(weight) (Hajek 1971; Swaminathan and
    Joachims 2015).

    A little biased, of less variance than `ips` where rewards are large, and moved by c when c is added to all rewards.
    Its interval is that of the linearised ratio.
    """
    weight = importance_weights(reward, propensity, target)
    mean = float(weight.mean())
    if not mean:
        raise DataError("target: 0 in every row; the log never took an action of this policy")
    value = float((weight * reward).sum()) / float(weight.sum())
    found = cumulants(weight / mean, reward - value)
    linear = Cumulants(value, found.variance, found.third)
    return _build_estimate(weight, reward, linear, find_reliability_issue(weight, _count_events(reward), unsupported))


def clipped_ips(
    reward: AnyArray, propensity: AnyArray, target: AnyArray, limit: float, unsupported: float = 0.0
) -> Estimate:
    """
    Return the inverse propensity score with weights cut at `limit` (Ionides 2008; Bottou et al. 2013).

    For rewards that are not negative it is biased downwards; its interval is one of the cut mean. Where the cut takes
    more than 1 % of the weight it is therefore not trusted as an interval of the value.
    """
    if not limit > 0:
        raise DataError(f"limit: {limit}; expected a weight above 0")
    weight = importance_weights(reward, propensity, target)
    cut = np.minimum(weight, limit)
    total = float(weight.sum())
    lost = 1 - float(cut.sum()) / total if total else 0.0
    why = f"clipping at {limit:g} takes {lost:.1%} of the weight, and the value with it" if lost > MAX_CLIPPED else ""
    why = why or find_reliability_issue(weight, _count_events(reward), unsupported)
    return _build_estimate(cut, reward, cumulants(cut, reward), why)


def direct(predicted: AnyArray, probabilities: AnyArray) -> Estimate:
    """
    Return the direct method: the mean over rows of sum over actions of probabilities * predicted rewards.

    Both (rows, actions). Its interval knows how situations differ but not how wrong the model is, hence is never
    trusted. Its weights are all 1.
    """
    expected = _expected_rewards(predicted, probabilities)
    found = cumulants(np.ones(len(expected)), expected)
    low, high = interval(found, bool((expected >= 0).all()))
    return Estimate(
        found.value, low, high, len(expected), float(len(expected)), top_share(np.ones(len(expected))), BIAS
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
    Return the doubly robust estimate: the direct method, plus the weighted mean of what the model got wrong (Dudik,
    Langford and Li 2011).

    action (rows,) is the column of the logged action in probabilities and predicted, both (rows, actions). A row's
    prediction must come from a model that did not see the row (`reward_model.cross_fit`; Chernozhukov et al. 2018).
    Unbiased wherever the propensities are right, whatever the model.
    """
    base = _expected_rewards(predicted, probabilities)
    rows = np.arange(len(base))
    _check_column(
        "action", action, len(base), np.isin(action, np.arange(probabilities.shape[1])), "a column of probabilities"
    )
    weight = importance_weights(reward, propensity, probabilities[rows, action])
    residual = reward - predicted[rows, action]
    found = cumulants(weight, residual, base)
    return _build_estimate(weight, reward, found, find_reliability_issue(weight, _count_events(reward), unsupported))


def importance_weights(reward: AnyArray, propensity: AnyArray, target: AnyArray) -> AnyArray:
    """Return target / propensity (rows,) of columns that were checked."""
    rows = len(reward)
    if not rows:
        raise DataError("reward: no rows; expected at least one")
    _check_column("reward", reward, rows, np.isfinite(reward), "a finite number")
    _check_column("propensity", propensity, rows, (propensity > 0) & (propensity <= 1), "a probability in (0, 1]")
    _check_column("target", target, rows, (target >= 0) & (target <= 1 + 1e-9), "a probability in [0, 1]")
    return np.asarray(target / propensity, np.float64)


def _check_column(name: str, values: AnyArray, rows: int, fine: Any, expected: str) -> None:
    if values.shape != (rows,):
        raise DataError(f"{name}: shape {values.shape}, expected ({rows},), one value per row")
    if not fine.all():
        first = int(np.argmin(fine))
        raise DataError(
            f"{name}: {values[first]} in row {first} (and {rows - fine.sum() - 1} more), expected {expected}"
        )


def _expected_rewards(predicted: AnyArray, probabilities: AnyArray) -> AnyArray:
    """Return what the policy earns per row by a model: (rows,)."""
    if predicted.shape != probabilities.shape or predicted.ndim != 2 or not len(predicted):
        raise DataError(
            f"predicted: shape {predicted.shape}, probabilities: {probabilities.shape}; expected (rows, actions)"
        )
    rows = len(predicted)
    _check_column("predicted", predicted.sum(1), rows, np.isfinite(predicted).all(1), "finite numbers")
    total = probabilities.sum(1)
    _check_column(
        "probabilities", total, rows, (probabilities >= 0).all(1) & (abs(total - 1) < 1e-6), "a sum of 1, none negative"
    )
    return np.asarray((predicted * probabilities).sum(1))


def _count_events(reward: AnyArray) -> int:
    return int(np.count_nonzero(reward))


def _build_estimate(weight: AnyArray, reward: AnyArray, found: Cumulants, why_not: str) -> Estimate:
    positive = bool((reward >= 0).all())
    low, high = interval(found, positive)
    if not reward.any():
        high = max(high, found.value + zero_event_bound(weight))
    return Estimate(found.value, low, high, len(weight), effective_sample_size(weight), top_share(weight), why_not)
