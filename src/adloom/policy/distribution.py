"""Probabilities of candidates from their scores; needs NumPy only."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.policy.thompson import find_best

NEW_SHARE = 0.25  # of an even share: the least that a softmax gives to a creative without history
MIN_PROBABILITY = 1e-300  # if the softmax underflows: the candidate can still be drawn, and divided by


def distribute(
    scores: Float64Array,
    variances: Float64Array | None,
    counts: Sequence[int] | Int64Array,
    temperature: float,
    floor: float,
    new: BoolArray | None = None,
) -> Float64Array:
    """
    Return the softmax of scores, or with `variances` (candidates,) the probabilities of Thompson sampling.

    `new` (candidates,) have no history: a softmax raises each to NEW_SHARE of an even share.
    """
    if variances is None:
        return softmax(scores, counts, temperature, floor, new)
    sizes = np.array(counts)
    least, scale = np.minimum(floor, 1 / sizes), 1 - np.minimum(sizes * floor, 1)
    best = find_best(scores, variances * temperature**2, sizes)
    return np.asarray(np.maximum(best * scale.repeat(sizes) + least.repeat(sizes), MIN_PROBABILITY))


def softmax(
    scores: Float64Array,
    counts: Sequence[int] | Int64Array,
    temperature: float = 1.0,
    floor: float = 0.0,
    new: BoolArray | None = None,
) -> Float64Array:
    """
    Return probabilities of concatenated scores (candidates,) with `counts` candidates per request.

    They are at least `floor`, or uniform if that is impossible.
    """
    sizes = np.array(counts)
    starts = sizes.cumsum() - sizes
    odds = np.exp((scores - np.maximum.reduceat(scores, starts).repeat(sizes)) / temperature)
    if new is not None and np.count_nonzero(new):
        odds = _raise_new(odds, new, sizes, starts)
    least = np.minimum(floor, 1 / sizes)
    scale = (1 - sizes * least) / np.add.reduceat(odds, starts)
    return np.maximum(odds * scale.repeat(sizes) + least.repeat(sizes), MIN_PROBABILITY)


def _raise_new(odds: Float64Array, new: BoolArray, sizes: Int64Array, starts: Int64Array) -> Float64Array:
    """Return odds in which each new candidate has its least share, at the cost of all others."""
    share = odds / np.add.reduceat(odds, starts).repeat(sizes)
    least = NEW_SHARE / sizes.repeat(sizes)
    is_low = new & (share < least)
    taken, rest = (np.add.reduceat(values, starts) for values in (least * is_low, share * ~is_low))
    raised = np.where(is_low, least, share * ((1 - taken) / rest).repeat(sizes))
    return np.where(taken.repeat(sizes) > 0, raised, odds)  # the bytes of a request do not depend on others
