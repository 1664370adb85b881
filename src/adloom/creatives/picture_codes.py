"""
Codes of training pictures: the noise vectors from which a generator is asked to draw these very pictures.

They are principal components within a category (Bojanowski et al. 2018 begin with such codes). Their variance is 1 in
every category, as that of the noise from which new pictures are drawn.
"""

from collections.abc import Iterable

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.creatives.memorization import reduce_pictures

CODES = 32  # values of a code at most
PRIOR = 2  # pictures as which the variance over all categories counts in that of one
LEAST = 1e-6  # of the largest variance; below, a component is rounding error


@threadpool_limits.wrap(1, "blas")  # type: ignore[untyped-decorator] # more threads round differently
def encode_pictures(batches: Iterable[UInt8Array], category: Int64Array, latent: int) -> Float32Array:
    """Return a code (pictures, at most `latent` and CODES values) of each picture (batch, channels, size, size)."""
    points = np.concatenate([reduce_pictures(batch).reshape(len(batch), -1) for batch in batches]).astype(np.float64)
    member = np.eye(category.max() + 1)[category]
    pictures = member.sum(0)[:, None]
    rest = points - member @ (member.T @ points / np.maximum(pictures, 1))
    variances, components = np.linalg.eigh(rest.T @ rest / len(rest))
    is_kept = variances > LEAST * max(variances[-1], 1.0)
    codes = (rest @ components[:, is_kept])[:, ::-1][:, : min(latent, CODES)]
    variance = (member.T @ codes**2 + PRIOR * (codes**2).mean(0)) / (pictures + PRIOR)
    scaled: Float32Array = (codes / np.sqrt(variance)[category]).astype(np.float32)
    return scaled
