"""
Weighted statistics of columns (rows,), NaN where undefined.

Sums use NumPy, not BLAS: its order depends on the number of cores.
"""

import numpy as np

from adloom.arrays import AnyArray


def mean(values: AnyArray, weights: AnyArray) -> float:
    """Return the weighted mean."""
    return _divide_or_nan(float((values * weights).sum()), float(weights.sum()))


def ratio(numerator: AnyArray, denominator: AnyArray, weights: AnyArray) -> float:
    """Return the ratio of two weighted sums."""
    return _divide_or_nan(float((numerator * weights).sum()), float((denominator * weights).sum()))


def auc(label: AnyArray, score: AnyArray, weights: AnyArray) -> float:
    """Return the area under the ROC curve (Mann-Whitney; ties count half)."""
    return auc_of_groups(label, np.unique(score, return_inverse=True)[1], weights)


def auc_of_groups(label: AnyArray, group: AnyArray, weights: AnyArray) -> float:
    """Return the area under the ROC curve of scores that are numbered from 0, ascending."""
    positive = np.bincount(group, weights * label)  # (distinct scores,), ascending
    negative = np.bincount(group, weights * (1 - label.astype(np.int8)))
    below = np.cumsum(negative) - negative
    return _divide_or_nan(float((positive * (below + negative / 2)).sum()), float(positive.sum() * negative.sum()))


def _divide_or_nan(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
