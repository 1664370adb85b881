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
    _, group = np.unique(score, return_inverse=True)
    positive = np.bincount(group, weights * label)  # (distinct scores,), ascending
    negative = np.bincount(group, weights * (1 - label.astype(np.int8)))
    below = np.cumsum(negative) - negative
    return _divide_or_nan(float((positive * (below + negative / 2)).sum()), float(positive.sum() * negative.sum()))


def _divide_or_nan(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
