"""
Codes of training pictures: the noise vectors from which a generator is asked to draw these very pictures.

They are principal components within a category (Bojanowski et al. 2018 begin with such codes). Their variance is 1 in
every category, as that of the noise from which new pictures are drawn.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from adloom.creatives.memorization import reduce_pictures

CODES = 32  # values of a code at most
PRIOR = 2  # pictures as which the variance over all categories counts in that of one
LEAST = 1e-6  # of the largest variance; below, a component is rounding error
BLOCK = 4096  # pictures whose differences from their category are in memory


@threadpool_limits.wrap(1, "blas")  # type: ignore[untyped-decorator] # more threads round differently
def encode_pictures(batches: Iterable[UInt8Array], category: Int64Array, latent: int) -> Float32Array:
    """Return a code (pictures, at most `latent` and CODES values) of each picture (batch, channels, size, size)."""
    points = np.concatenate([reduce_pictures(batch).reshape(len(batch), -1) for batch in batches])
    pictures = np.bincount(category)
    sums = np.stack([points[category == number].sum(0) for number in range(len(pictures))])
    means = sums / np.maximum(pictures, 1)[:, None]
    products = (rest.T @ rest for rest in _subtract(points, means, category))
    variances, components = np.linalg.eigh(sum(products, np.zeros((points.shape[1],) * 2)))
    is_kept = variances > LEAST * max(variances[-1], len(points))
    components = components[:, is_kept][:, ::-1][:, : min(latent, CODES)]
    codes = np.concatenate([rest @ components for rest in _subtract(points, means, category)])
    member = np.eye(len(pictures))[category]
    variance = (member.T @ codes**2 + PRIOR * (codes**2).mean(0)) / (pictures[:, None] + PRIOR)
    scaled: Float32Array = (codes / np.sqrt(variance)[category]).astype(np.float32)
    return scaled


def _subtract(points: UInt8Array, means: Float64Array, category: Int64Array) -> Iterator[Float64Array]:
    """Yield differences of points (pictures, values) from the mean of their category, in blocks."""
    for begin in range(0, len(points), BLOCK):
        block = slice(begin, begin + BLOCK)
        yield points[block] - means[category[block]]
