"""Probabilities of many impressions at once, from the scorer's arrays."""

import numpy as np

from adloom.arrays import Float64Array
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.scorer import Policy, softmax


def compute_probabilities(policy: Policy, data: Impressions) -> Float64Array:
    """Return each creative's probability in each row (rows, creatives)."""
    known = {creative: i for i, creative in enumerate(policy.creatives)}
    index = np.array([known.get(creative, -1) for creative in data.creatives], np.int64)
    rows = FeatureSpace(policy.features, policy.values).row_indices(data.context)
    result = np.zeros((len(data), len(data.creatives)))
    order = np.argsort(data.offered, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(data.offered[order])) + 1):
        offered = data.sets[data.offered[group[0]]]
        column = index[offered]
        score = np.where(column < 0, policy.prior[-1], policy.bias[column]).astype(float)[None].repeat(len(group), 0)
        for row, weights in zip(rows, policy.weights, strict=True):
            score += np.where(column < 0, 0.0, weights[np.ix_(row[group], column)])
        counts = [len(offered)] * len(group)
        chances = softmax(score.ravel(), counts, policy.temperature, policy.floor)
        result[np.ix_(group, offered)] = chances.reshape(score.shape)
    return result
