"""
Distances between generated and real pictures as sets of embeddings, (pictures, dimensions) each.

Sums of BLAS depend on its kernel (`OPENBLAS_CORETYPE`) and threads. So embeddings are rounded to a grid with exact
sums, and later steps have a fixed order.
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from adloom.arrays import AnyArray, BoolArray, Float64Array

MANIFOLD_NEIGHBOURS = 3
OUTLIER_QUANTILE = 0.995  # share of real pictures that are no outliers
GRID_BITS = 20  # of an embedding's values; products have 40, and 13 more hold a sum of 2**13 products
ROWS_PER_SUM = 4096  # summed at once, even if each counts twice; the partial sums are added in order
CELLS_PER_TILE = 2**22  # of a matrix of distances
SINGULAR = 1e-15  # share of the trace; a direction with less variance has none


def frechet_distance(
    embedding: AnyArray,
    mean: Float64Array,
    covariance: Float64Array,
    weights: AnyArray,
    factor: Float64Array | None = None,
) -> float:
    """
    Return the Fréchet distance of weighted embeddings to a normal distribution (Heusel et al. 2017).

    |m - m'|² + tr(C + C' - 2 (C C')^½), with the root's trace from the eigenvalues of L' C L with C' = L L'. The factor
    L is computed unless given.
    """
    centre, here = _fit_weighted_normal(round_to_grid(embedding), weights)
    factor = cholesky(covariance) if factor is None else factor
    overlap = multiply(multiply(factor.T, here), factor)
    traces = float(np.trace(here) + np.trace(covariance))
    return float(((centre - mean) ** 2).sum()) + traces - 2 * float(np.sqrt(np.maximum(_eigenvalues(overlap), 0)).sum())


def fit_normal(embedding: AnyArray) -> tuple[Float64Array, Float64Array]:
    """Return mean (dimensions,) and covariance (dimensions, dimensions)."""
    return _fit_weighted_normal(round_to_grid(embedding), np.ones(len(embedding)))


def kernel_distances(generated: AnyArray, real: AnyArray) -> Float64Array:
    """
    Return a value for each generated picture (generated,); their mean is the kernel distance (Bińkowski et al. 2018).

    The kernel is (x·y / dimensions + 1)³. The values linearise the distance, so a bootstrap of their mean varies like
    it.
    """
    among = _mean_kernel(generated, generated, without_self=True)
    across = _mean_kernel(generated, real, without_self=False)
    there = _mean_kernel(real, real, without_self=True).mean()
    values: Float64Array = 2 * among - among.mean() + there - 2 * across
    return values


def in_manifold(points: AnyArray, others: AnyArray) -> BoolArray:
    """
    Return which points (points,) lie in the manifold of the others (Kynkäänniemi et al. 2019).

    The manifold is the union of balls around `others` up to neighbour number MANIFOLD_NEIGHBOURS. One point has none.
    """
    if len(others) < 2:
        return np.zeros(len(points), bool)
    neighbour = min(MANIFOLD_NEIGHBOURS, len(others) - 1)
    x, y = round_to_grid(points), round_to_grid(others)
    radius = _find_radius(y, neighbour)
    return np.concatenate([(_squared_distances(x[rows], y) <= radius).any(1) for rows in _split_rows(x, y)])


def _find_radius(points: AnyArray, neighbour: int) -> AnyArray:
    """Return the squared distance of each point to its neighbour of this number; number 0 is the point itself."""
    tiles = (
        np.partition(_squared_distances(points[rows], points), neighbour, 1) for rows in _split_rows(points, points)
    )
    return np.concatenate([tile[:, neighbour].copy() for tile in tiles])  # a view would keep its tile


def find_outliers(points: AnyArray, real: AnyArray) -> BoolArray:
    """Return which points (points,) lie farther from all real ones than nearly all of these from each other."""
    x, y = round_to_grid(points), round_to_grid(real)
    nearest = np.concatenate([_squared_distances(x[rows], y).min(1) for rows in _split_rows(x, y)])
    is_outlier: BoolArray = nearest > np.quantile(_find_radius(y, 1), OUTLIER_QUANTILE, method="higher")
    return is_outlier


def _mean_kernel(a: AnyArray, b: AnyArray, *, without_self: bool) -> Float64Array:
    """Return the mean kernel of each a with all b, (a,)."""
    x, y = round_to_grid(a), round_to_grid(b)
    sums = []
    for rows in _split_rows(x, y):
        values = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        if without_self:
            np.fill_diagonal(values[:, rows], 0)
        sums.append(values.sum(1))
    mean: Float64Array = np.concatenate(sums) / max(1, len(y) - without_self)
    return mean


def _squared_distances(x: Float64Array, y: Float64Array) -> Float64Array:
    squares: Float64Array = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * (x @ y.T)
    return squares


def _split_rows(x: Float64Array, y: Float64Array) -> Iterator[slice]:
    """Yield slices of x; each is compared with all of y. The results do not depend on their size."""
    size = max(1, CELLS_PER_TILE // len(y))
    return (slice(start, start + size) for start in range(0, len(x), size))


def round_to_grid(values: AnyArray) -> Float64Array:
    """Return values rounded to BITS bits below the largest."""
    _, exponent = np.frexp(np.abs(values).max(initial=0))
    unit = 2.0 ** (int(exponent) - GRID_BITS)
    rounded: Float64Array = np.rint(values.astype(np.float64) / unit) * unit
    return rounded


def _fit_weighted_normal(points: Float64Array, weights: AnyArray) -> tuple[Float64Array, Float64Array]:
    """Return mean and covariance of points on a grid; weights count rows."""
    width, total = points.shape[1], float(weights.sum())
    first, second = np.zeros(width), np.zeros((width, width))
    for start in range(0, len(points), ROWS_PER_SUM):
        part = points[start : start + ROWS_PER_SUM]
        weighted = part * weights[start : start + ROWS_PER_SUM, None]
        first += weighted.sum(0)
        second += weighted.T @ part
    centre = first / total
    return centre, second / total - np.outer(centre, centre)


def multiply(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return the product of two small matrices without BLAS."""
    product: Float64Array = np.einsum("ij,kj->ik", a, np.ascontiguousarray(b.T))
    return product


def cholesky(matrix: Float64Array) -> Float64Array:
    """Return L with L L' = matrix, (n, n), which may be singular."""
    rest, factor = matrix.copy(), np.zeros_like(matrix)
    least = SINGULAR * float(np.trace(matrix))
    for k in range(len(matrix)):
        if rest[k, k] > least:
            factor[k:, k] = rest[k:, k] / np.sqrt(rest[k, k])
            rest[k:, k:] -= np.outer(factor[k:, k], factor[k:, k])
    return factor


def _eigenvalues(matrix: Float64Array) -> Float64Array:
    """Return the eigenvalues (n,) of a symmetric matrix: Householder, then Pal, Walker and Kahan."""
    rest, off_diagonal = matrix.copy(), np.zeros(len(matrix) - 1)
    for k in range(len(matrix) - 1):
        mirror = rest[k + 1 :, k].copy()
        off_diagonal[k] = -np.copysign(np.sqrt((mirror**2).sum()), mirror[0])
        mirror[0] -= off_diagonal[k]
        if length := float((mirror**2).sum()):
            block = rest[k + 1 :, k + 1 :]
            image = (block * mirror).sum(1) * (2 / length)
            image -= mirror * (float((image * mirror).sum()) / length)
            block -= np.outer(mirror, image) + np.outer(image, mirror)
    values: Float64Array = eigvalsh_tridiagonal(rest.diagonal(), off_diagonal, lapack_driver="sterf")  # calls no BLAS
    return values
