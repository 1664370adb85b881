"""
A second reader that shares nothing with the training of a generator: linear discriminant analysis of features.

It has other pictures, another architecture and no seed. Its sums do not depend on the kernel of BLAS.
"""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, Float64Array, Int64Array
from adloom.creatives import distances

SHRINKAGE = 0.01  # share of the mean variance that is added to every direction
MIN_ROWS = 2  # per category, on average


@dataclass(frozen=True)
class SecondReader:
    """Means of the categories in whitened features."""

    whiten: Float64Array  # (dimensions, dimensions)
    means: Float64Array  # (categories, dimensions), whitened; infinite for a category without pictures

    def read(self, features: AnyArray) -> Int64Array:
        """Return the category (rows,) with the nearest mean."""
        points = distances.multiply(distances.round_to_grid(features), self.whiten)
        squares = np.stack([((points - mean) ** 2).sum(1) for mean in self.means], 1)
        nearest: Int64Array = squares.argmin(1)
        return nearest


def fit_second_reader(features: AnyArray, category: Int64Array, categories: int) -> SecondReader | None:
    """Fit on features (rows, dimensions) of real pictures; return None when there are too few."""
    if len(category) < MIN_ROWS * categories:
        return None
    points = distances.round_to_grid(features)
    means = np.full((categories, points.shape[1]), np.inf)
    rest = points.copy()
    for number in np.unique(category):
        rows = category == number
        means[number] = points[rows].mean(0)
        rest[rows] -= means[number]
    covariance = distances.fit_normal(rest)[1]
    covariance[np.diag_indices(len(covariance))] += SHRINKAGE * max(float(np.trace(covariance)), 1e-9) / len(covariance)
    whiten = _invert_triangle(distances.cholesky(covariance)).T
    known = np.isfinite(means).all(1)
    means[known] = distances.multiply(means[known], whiten)
    return SecondReader(whiten, means)


def _invert_triangle(factor: Float64Array) -> Float64Array:
    """Return the inverse of a lower triangular matrix."""
    inverse = np.zeros_like(factor)
    for row in range(len(factor)):
        inverse[row] = -(factor[row, :row, None] * inverse[:row]).sum(0) / factor[row, row]
        inverse[row, row] += 1 / factor[row, row]
    return inverse
