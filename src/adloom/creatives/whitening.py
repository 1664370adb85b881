"""
Whitening of a reader's embeddings, for the search for similar pictures (Jégou & Chum 2012).

Embeddings differ most by their category, so by cosine alone pictures between two categories have neighbours of either.
Divided by the square root of their standard deviations, the other directions count too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, Float32Array

POWER = 0.5  # of the standard deviation that each direction is divided by; 1 makes noise as large as what matters


@dataclass(frozen=True)
class Whitening:
    """A fitted linear map."""

    mean: Float32Array  # (dimensions,)
    matrix: Float32Array  # (dimensions, dimensions), symmetric

    def __call__(self, embedding: AnyArray) -> Float32Array:
        """Return embeddings (pictures, dimensions) whitened, of unit length."""
        centred = embedding.astype(np.float32) - self.mean
        whitened = np.einsum("ij,kj->ik", centred, self.matrix)  # without BLAS, whose kernels round differently
        lengths = np.linalg.norm(whitened, axis=1, keepdims=True)
        unit: Float32Array = whitened / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


@threadpool_limits.wrap(1, "blas")  # type: ignore[untyped-decorator] # more threads round differently
def fit_whitening(embedding: AnyArray) -> Whitening:
    """Fit to the embeddings of training pictures."""
    points = embedding.astype(np.float64)
    mean = points.mean(0)
    covariance = (points - mean).T @ (points - mean) / len(points)
    variances, directions = np.linalg.eigh(covariance)
    ridge = variances.sum() / len(points) + np.finfo(np.float32).eps  # small variances of few pictures mean little
    matrix = directions * np.maximum(variances + ridge, ridge) ** (-POWER / 2) @ directions.T
    return Whitening(mean.astype(np.float32), matrix.astype(np.float32))


def read_whitening(arrays: Mapping[str, AnyArray]) -> Whitening:
    """Return the whitening of known.npz; older ones have none, and their embeddings stay as they are."""
    if "whitening" in arrays:
        return Whitening(arrays["mean"], arrays["whitening"])
    dimensions = arrays["embedding"].shape[1]
    return Whitening(np.zeros(dimensions, np.float32), np.eye(dimensions, dtype=np.float32))
