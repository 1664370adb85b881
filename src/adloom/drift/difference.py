"""
Test whether two periods have the same distribution, with users as the units that are drawn.

Both statistics are quadratic forms of the difference of mean vectors: the energy distance of ranks (Szekely and Rizzo
2013) for numbers, chi-square, the second order of PSI, for names. Under no drift such a form is a weighted sum of
chi-square variables; its first three moments give the p-value (Hall 1983; Buckley and Eagleson 1988).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from adloom.arrays import AnyArray, Float64Array
from adloom.drift.features import BinnedColumn, Feature, FeatureSample, bin_feature, bin_numbers, count_bins

PSI_BINS = 10  # deciles of the reference


@dataclass(frozen=True)
class Difference:
    """The difference of two periods."""

    statistic: float  # energy distance of ranks, or chi-square per observation
    p_value: float
    psi: float  # population stability index


def measure_difference(feature: Feature) -> Difference:
    """Return the difference between the periods of a feature."""
    columns = bin_feature(feature)
    parts = [_contrast(feature, column) for column in columns]
    contrast = np.concatenate(parts, 1) / math.sqrt(len(parts))
    statistic = float((contrast.sum(0) ** 2).sum())
    return Difference(statistic, find_p_value(contrast), measure_psi(feature, columns))


def find_p_value(contrast: Float64Array) -> float:
    """Return the probability of a sum of rows (users, dimensions) at least as long as this one, if their mean is 0."""
    statistic = float((contrast.sum(0) ** 2).sum())
    users = len(contrast)
    covariance = np.einsum("ij,ik->jk", contrast, contrast) * (users / max(users - 1, 1))
    first, second = float(np.trace(covariance)), float((covariance**2).sum())
    third = float((np.einsum("ij,jk->ik", covariance, covariance) * covariance).sum())
    if third <= 0:  # every user has the same value
        return 1.0
    freedom = second**3 / third**2
    scaled = (statistic - first) * math.sqrt(freedom / second) + freedom
    return float(chi2.sf(scaled, freedom))


def measure_psi(feature: Feature, columns: list[BinnedColumn]) -> float:
    """Return the population stability index of a feature's columns; numbers have bins of the reference's deciles."""
    reference, current = feature.reference.values, feature.current.values
    if feature.is_number and reference.ndim == 1:
        columns = [bin_numbers(reference, current, reference, PSI_BINS)]
    return float(np.mean([_compute_psi(column, feature) for column in columns]))


def measure_error(current: FeatureSample, reference: FeatureSample | None = None) -> float:
    """Return the standard error, by user, of the mean of numbers, or of its difference from a reference."""
    samples = [current, *([reference] if reference else [])]
    users, index = _number_users([sample.cluster for sample in samples])
    deviation = np.zeros(users)
    for sample, rows, sign in zip(samples, index, (1, -1), strict=False):
        share = sample.weight / sample.weight.sum()
        deviation += sign * np.bincount(rows, share * (sample.values - sample.mean()), users)
    return float(np.sqrt((deviation**2).sum() * users / max(users - 1, 1)))


def _contrast(feature: Feature, column: BinnedColumn) -> Float64Array:
    """Return each user's part of the difference (users, dimensions), centred on the share of both periods."""
    users, index = _number_users((feature.reference.cluster, feature.current.cluster))
    weights = (feature.reference.weight, feature.current.weight)
    shares = [weight / weight.sum() for weight in weights]
    counts = [count_bins(c, w, column.bins) for c, w in zip((column.reference, column.current), weights, strict=True)]
    mass = (counts[0] + counts[1]) / 2
    contrast = np.zeros((users, column.bins))
    for bins, rows, share, sign in zip((column.reference, column.current), index, shares, (-1, 1), strict=True):
        cells = np.bincount(rows * column.bins + bins, share, users * column.bins).reshape(users, -1)
        contrast += sign * (cells - cells.sum(1, keepdims=True) * mass)
    if feature.is_number:
        return np.asarray(contrast.cumsum(1) * np.sqrt(2 * mass))
    return np.asarray(contrast[:, mass > 0] / np.sqrt(mass[mass > 0]))


def _number_users(clusters: Sequence[AnyArray]) -> tuple[int, list[AnyArray]]:
    """Return the number of users of all periods, and each row's user in each."""
    known, index = np.unique(np.concatenate(clusters), return_inverse=True)
    return len(known), np.split(index, np.cumsum([len(cluster) for cluster in clusters])[:-1])


def _compute_psi(column: BinnedColumn, feature: Feature) -> float:
    old, new = (
        np.bincount(bins, sample.weight, column.bins) + 0.5
        for bins, sample in ((column.reference, feature.reference), (column.current, feature.current))
    )
    old, new = old / old.sum(), new / new.sum()
    return float(((new - old) * np.log(new / old)).sum())
