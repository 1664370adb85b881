"""Probabilities of candidates from their scores; needs NumPy only."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import Float64Array, Int64Array
from adloom.policy.thompson import find_best

MIN_PROBABILITY = 1e-300  # if the softmax underflows: the candidate can still be drawn, and divided by


def distribute(
    scores: Float64Array,
    variances: Float64Array | None,
    counts: Sequence[int] | Int64Array,
    temperature: float,
    floor: float,
) -> Float64Array:
    """Return the softmax of scores, or with `variances` (candidates,) the probabilities of Thompson sampling."""
    if variances is None:
        return softmax(scores, counts, temperature, floor)
    sizes = np.array(counts)
    least, scale = np.minimum(floor, 1 / sizes), 1 - np.minimum(sizes * floor, 1)
    best = find_best(scores, variances * temperature**2, sizes)
    return np.asarray(np.maximum(best * scale.repeat(sizes) + least.repeat(sizes), MIN_PROBABILITY))


def softmax(
    scores: Float64Array, counts: Sequence[int] | Int64Array, temperature: float = 1.0, floor: float = 0.0
) -> Float64Array:
    """
    Return probabilities of concatenated scores (candidates,) with `counts` candidates per request.

    They are at least `floor`, or uniform if that is impossible.
    """
    sizes = np.array(counts)
    starts = sizes.cumsum() - sizes
    odds = np.exp((scores - np.maximum.reduceat(scores, starts).repeat(sizes)) / temperature)
    least = np.minimum(floor, 1 / sizes)
    scale = (1 - np.minimum(sizes * floor, 1)) / np.add.reduceat(odds, starts)
    return np.maximum(odds * scale.repeat(sizes) + least.repeat(sizes), MIN_PROBABILITY)
