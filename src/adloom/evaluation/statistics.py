"""
Statistics of weighted rows: what a bootstrap recomputes for each of its draws.

Each takes columns (rows,) and, last, weights (rows,) that say how often a row was drawn, and returns NaN where it is
not defined (no rows, or rows of one class only). Sums are NumPy's own, not those of BLAS, whose order depends on the
number of cores it finds.
"""

import numpy as np

from adloom.arrays import AnyArray


def mean(values: AnyArray, weights: AnyArray) -> float:
    """Return the weighted mean of values (rows,); of booleans it is a share."""
    return _divide(float((values * weights).sum()), float(weights.sum()))


def ratio(numerator: AnyArray, denominator: AnyArray, weights: AnyArray) -> float:
    """Return the ratio of two sums, such as bits over characters; both (rows,), the rows are the units resampled."""
    return _divide(float((numerator * weights).sum()), float((denominator * weights).sum()))


def auc(label: AnyArray, score: AnyArray, weights: AnyArray) -> float:
    """
    Return the chance that a positive row scores above a negative one, ties counting half: the area under the ROC.

    label (rows,) is 0 or 1 or boolean, score (rows,) any number. This is the Mann-Whitney form: each positive is
    compared with the negatives at lower scores and half of those at its own.
    """
    _, group = np.unique(score, return_inverse=True)
    positive = np.bincount(group, weights * label)  # (distinct scores,), ascending
    negative = np.bincount(group, weights * (1 - label.astype(np.int8)))
    below = np.cumsum(negative) - negative
    return _divide(float((positive * (below + negative / 2)).sum()), float(positive.sum() * negative.sum()))


def _divide(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
