"""
Copies: how near drawn pictures lie to single training pictures, measured against how near real new pictures lie.

Plain pixel distances would call smooth pictures copies: a plain shirt is near to many others. So the distance to the
nearest training picture is divided by that to the SCALE-th nearest: a picture among its like is near 1, a copy of one
of them near 0, smooth or not. The threshold is a low quantile of the same distances of test pictures, which were not
trained on. Mirrored copies are found too; crops, turns and copies of what stands in the training rows more than SCALE
times are not.
"""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int64Array, UInt8Array

SCALE_NEIGHBOUR = 50  # the neighbour whose distance is the unit
QUANTILE = 0.001  # share of real test pictures that lie below the threshold
MAX_EDGE = 16  # pixels at most; pictures are averaged down to this
LEVELS = 128  # of brightness; then a sum of squares is an integer that float32 holds, in whatever order it is added up
CHUNK = 100  # pictures compared at once


@dataclass(frozen=True)
class NearestTraining:
    """For each picture its nearest training picture."""

    index: Int64Array  # (pictures,), the row of the nearest training picture
    pixels: Float64Array  # (pictures,), root mean square difference to it, in grey levels 0 … 255
    relative: Float64Array  # (pictures,), the distance to it in units of the distance to the SCALE-th nearest


def find_nearest(pictures: UInt8Array, training: UInt8Array) -> NearestTraining:
    """Find the nearest training picture, mirrored or not, of each (pictures, channels, height, width)."""
    known = np.ascontiguousarray(_to_points(training).T)
    lengths = (known**2).sum(0)
    starts = range(0, len(pictures), CHUNK)
    parts = [_find_nearest_chunk(pictures[start : start + CHUNK], known, lengths) for start in starts]
    index, first, scale = (np.concatenate(column) for column in zip(*parts, strict=True))
    root = np.sqrt(first / len(known)) * (255 / (LEVELS - 1))
    return NearestTraining(index, root, np.sqrt(first / np.maximum(scale, 1)))


def copy_threshold(test: NearestTraining) -> float:
    """Return the relative distance below which a picture counts as a copy."""
    return float(np.quantile(test.relative, QUANTILE))


def _find_nearest_chunk(
    pictures: UInt8Array, known: Float32Array, lengths: Float32Array
) -> tuple[Int64Array, Float64Array, Float64Array]:
    """
    Return index, squared distance of the nearest, and squared distance of the SCALE-th nearest, (pictures,) each.

    known (values, training) are the training pictures' points, lengths (training,) their squares.
    """
    plain, mirrored = _to_points(pictures), _to_points(pictures[..., ::-1])
    squares = np.maximum(plain @ known, mirrored @ known)  # mirroring does not change a point's length
    squares *= -2
    squares += lengths
    index = squares.argmin(1)
    first = squares[np.arange(len(index)), index]
    squares.partition(min(SCALE_NEIGHBOUR, len(lengths)) - 1, axis=1)
    own = (plain**2).sum(1)
    scale = squares[:, min(SCALE_NEIGHBOUR, len(lengths)) - 1]
    return index, (first + own).astype(np.float64), (scale + own).astype(np.float64)


def _to_points(pictures: UInt8Array) -> Float32Array:
    """Return (pictures, values): averaged down to EDGE and rounded to LEVELS, so that sums are exact."""
    number, channels, height, width = pictures.shape
    factor = -(-height // MAX_EDGE)
    blocks = pictures.reshape(number, channels, height // factor, factor, width // factor, factor)
    small = blocks.mean((3, 5), dtype=np.float32)
    points: Float32Array = np.rint(small * np.float32((LEVELS - 1) / 255)).reshape(number, -1)
    return points
