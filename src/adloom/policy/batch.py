"""Probabilities of many impressions at once, by the arrays of the scorer that answers requests one by one."""

import numpy as np

from adloom.arrays import Float64Array
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.scorer import Policy


def compute_probabilities(policy: Policy, data: Impressions) -> Float64Array:
    """Return the probability that the policy shows each creative in each row (rows, creatives); 0 where not offered."""
    known = {creative: i for i, creative in enumerate(policy.creatives)}
    place = np.array([known.get(creative, -1) for creative in data.creatives], np.int64)
    rows = FeatureSpace(policy.features, policy.values).rows(data.context)
    made = np.zeros((len(data), len(data.creatives)))
    order = np.argsort(data.offered, kind="stable")
    for here in np.split(order, np.flatnonzero(np.diff(data.offered[order])) + 1):
        offered = data.sets[data.offered[here[0]]]
        index = place[offered]
        score = np.where(index < 0, policy.prior[-1], policy.bias[index]).astype(float)[None].repeat(len(here), 0)
        for row, weights in zip(rows, policy.weights, strict=True):
            score += np.where(index < 0, 0.0, weights[np.ix_(row[here], index)])
        made[np.ix_(here, offered)] = _softmax(score / policy.temperature, policy.floor)
    return made


def _softmax(score: Float64Array, floor: float) -> Float64Array:
    """Return probabilities (rows, candidates), each at least `floor` where that is possible."""
    share = np.exp(score - score.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    left = max(1 - score.shape[1] * floor, 0.0)
    return np.asarray(share * left + (1 - left) / score.shape[1])
