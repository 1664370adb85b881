"""
Off-policy estimators of a policy's value per row on another policy's log.

Columns (rows,): `reward`; `propensity` in (0, 1], the logging policy's probability of the logged action; `target` in
[0, 1], the evaluated policy's. Weights are target / propensity. `unsupported` is the policy's probability on actions
that the log lacks; `clusters` says how many impressions a row stands for, and of which user it is; by default, rows are
independent impressions. All raise DataError for invalid columns.
"""

from typing import Any

import numpy as np

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import WIDENING, Estimate, effective_sample_size, find_reliability_issue, top_share
from adloom.policy.ope.intervals import Cumulants, cumulants, interval, zero_event_bound
from adloom.policy.ope.reward_model import CrossFit
from adloom.policy.ope.terms import Log, PolicyTerms

BIAS = "the interval ignores the model's bias; compare with the doubly robust estimate"
LACKING_OVERLAP = (
    "propensities are wrong or actions are missing in the log",
    "overlap is lacking: in some contexts, the log hardly ever shows what the policy shows",
)
MAX_CLIPPED = 0.01  # share of the weight that clipping may remove


def ips(
    reward: AnyArray,
    propensity: AnyArray,
    target: AnyArray,
    unsupported: float = 0.0,
    clusters: Clusters | None = None,
) -> Estimate:
    """Return the inverse propensity score (Horvitz and Thompson 1952)."""
    clusters = clusters or Clusters.single(len(reward))
    weight = importance_weights(reward, propensity, target)
    issue = find_reliability_issue(weight, reward, unsupported, clusters)
    return _build_estimate(weight, reward, cumulants(weight, reward, 0.0, clusters), issue, clusters)


def snips(
    reward: AnyArray,
    propensity: AnyArray,
    target: AnyArray,
    unsupported: float = 0.0,
    clusters: Clusters | None = None,
) -> Estimate:
    """
    Return the self-normalised inverse propensity score (Swaminathan and Joachims 2015).

    Slightly biased; less variance than `ips` for large rewards.
    """
    clusters = clusters or Clusters.single(len(reward))
    weight = importance_weights(reward, propensity, target)
    mean = clusters.mean(weight) if len(weight) else 0.0
    if not mean:
        raise DataError("target: 0 in every row; the log has no action of this policy")
    value = clusters.mean(weight * reward) / mean
    moments = cumulants(weight / mean, reward - value, 0.0, clusters)
    issue = find_reliability_issue(weight, reward, unsupported, clusters)
    return _build_estimate(weight, reward, Cumulants(value, moments.variance, moments.third), issue, clusters)


def clipped_ips(
    reward: AnyArray,
    propensity: AnyArray,
    target: AnyArray,
    limit: float,
    unsupported: float = 0.0,
    clusters: Clusters | None = None,
) -> Estimate:
    """
    Return the inverse propensity score with weights clipped at `limit` (Ionides 2008).

    Biased downwards; the interval is that of the clipped mean.
    """
    if not limit > 0:
        raise DataError(f"limit: {limit}; expected a weight above 0")
    clusters = clusters or Clusters.single(len(reward))
    weight = importance_weights(reward, propensity, target)
    cut = np.minimum(weight, limit)
    mean = clusters.mean(weight)
    clipped = 1 - clusters.mean(cut) / mean if mean else 0.0
    issue = f"clipping at {limit:g} removes {clipped:.1%} of the weight" if clipped > MAX_CLIPPED else ""
    issue = issue or find_reliability_issue(weight, reward, unsupported, clusters)
    return _build_estimate(cut, reward, cumulants(cut, reward, 0.0, clusters), issue, clusters)


def direct(expected: AnyArray, clusters: Clusters | None = None) -> Estimate:
    """Return the mean of a model's rewards under the policy (rows,); its interval is never reliable."""
    clusters, one = clusters or Clusters.single(len(expected)), np.ones(len(expected))
    moments = cumulants(one, expected, 0.0, clusters)
    low, high = interval(moments, bool((expected >= 0).all()))
    return Estimate(
        moments.value, low, high, int(clusters.total), clusters.total, top_share(one, clusters), reliability_issue=BIAS
    )


def doubly_robust(
    reward: AnyArray,
    propensity: AnyArray,
    target: AnyArray,
    predicted: AnyArray,
    expected: AnyArray,
    unsupported: float = 0.0,
    clusters: Clusters | None = None,
    propensity_estimated: bool = False,
) -> Estimate:
    """
    Return the doubly robust estimate (Dudik, Langford and Li 2011): direct method plus weighted residuals.

    A model, cross-fitted, has `predicted` the reward of the logged action, and `expected` the policy's (rows,). With
    estimated propensities, the interval is that of a log WIDENING² times smaller.
    """
    clusters = clusters or Clusters.single(len(reward))
    weight = importance_weights(reward, propensity, target)
    for name, column in (("predicted", predicted), ("expected", expected)):
        _check_column(name, column, len(reward), np.isfinite(column), "a finite number")
    moments = cumulants(weight, reward - predicted, expected, clusters)
    issue = find_reliability_issue(weight, reward, unsupported, clusters)
    if propensity_estimated:
        moments = _widen(moments)
        issue = issue.replace(*LACKING_OVERLAP)
    return _build_estimate(weight, reward, moments, issue, clusters)


def estimate_lift(log: Log, policy: PolicyTerms, rival: PolicyTerms, predicted: CrossFit) -> tuple[float, float, float]:
    """
    Return the doubly robust lift of a policy over a rival, and the ends of its 95 % interval.

    It is wider with estimated propensities, as in `doubly_robust`.
    """
    residual = (log.reward - predicted.predict(log.action)) / log.propensity
    lift = policy.expected - rival.expected + (policy.target - rival.target) * residual
    moments = cumulants(np.ones(len(lift)), lift, clusters=log.clusters)
    moments = _widen(moments) if log.propensity_estimated else moments
    return moments.value, *interval(moments, positive=False)


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


def _widen(moments: Cumulants) -> Cumulants:
    """Return the cumulants of the mean of a log WIDENING² times smaller."""
    return Cumulants(moments.value, moments.variance * WIDENING**2, moments.third * WIDENING**4)


def _build_estimate(
    weight: AnyArray, reward: AnyArray, moments: Cumulants, reliability_issue: str, clusters: Clusters
) -> Estimate:
    low, high = interval(moments, bool((reward >= 0).all()))
    if not reward.any():
        high = max(high, moments.value + zero_event_bound(weight, clusters.total))
    effective = effective_sample_size(weight, clusters)
    return Estimate(
        moments.value, low, high, int(clusters.total), effective, top_share(weight, clusters), reliability_issue
    )
