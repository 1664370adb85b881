"""How far drawn pictures lie from real ones as two clouds of embeddings, (pictures, dimensions) each."""

import numpy as np
import numpy.typing as npt

from adloom.evaluation.metric import Array

Doubles = npt.NDArray[np.float64]

NEIGHBOURS = 3


def frechet(embedding: Array, mean: Doubles, covariance: Doubles, weights: Array) -> float:
    """
    Return the Fréchet distance of weighted embeddings to a normal distribution (Heusel et al. 2017).

    |m - m'|² + tr(C + C' - 2 (C C')^½), where the trace of the root is the sum of the roots of the eigenvalues of the
    symmetric C^½ C' C^½.
    """
    share = weights / weights.sum()
    centre = share @ embedding
    spread = (embedding - centre) * np.sqrt(share)[:, None]
    here = spread.T @ spread
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ here @ root), 0)).sum()
    return float(((centre - mean) ** 2).sum() + np.trace(here) + np.trace(covariance) - 2 * overlap)


def normal(embedding: Array) -> tuple[Doubles, Doubles]:
    """Return mean (dimensions,) and covariance (dimensions, dimensions)."""
    centre = embedding.mean(0, dtype=np.float64)
    spread = embedding - centre
    return centre, spread.T @ spread / len(embedding)


def kernel(drawn: Array, real: Array) -> Doubles:
    """
    Return a value for each drawn picture, (drawn,); their mean is the kernel distance (Bińkowski et al. 2018).

    That is the unbiased squared maximum mean discrepancy under the kernel (x·y / dimensions + 1)³. The values are its
    linearisation in the drawn pictures: resampled, their mean varies as the distance does.
    """
    among = _mean_kernel(drawn, drawn, without_self=True)
    across = _mean_kernel(drawn, real, without_self=False)
    there = _mean_kernel(real, real, without_self=True).mean()
    values: Doubles = 2 * among - among.mean() + there - 2 * across
    return values


def covered(points: Array, by: Array) -> npt.NDArray[np.bool_]:
    """
    Return which points (points,) lie in the manifold of the others (Kynkäänniemi et al. 2019).

    The manifold is the union of balls around each of `by` that reach to its NEIGHBOURS-th nearest among themselves.
    Drawn pictures covered by real ones are precision, real ones covered by drawn ones recall.
    """
    others = min(NEIGHBOURS, len(by) - 1)  # the nearest of all is the point itself
    radius = np.partition(_squares(by, by), others, axis=1)[:, others]
    return np.asarray((_squares(points, by) <= radius).any(1))


def _mean_kernel(a: Array, b: Array, *, without_self: bool) -> Doubles:
    """Return the mean kernel of each a with all b, (a,)."""
    values = (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3
    if without_self:
        np.fill_diagonal(values, 0)
    mean: Doubles = values.sum(1) / max(1, values.shape[1] - without_self)
    return mean


def _squares(a: Array, b: Array) -> Doubles:
    """Return squared distances (a, b)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    squares: Doubles = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * (x @ y.T)
    return squares
