"""
Memorization: distances of generated pictures to training pictures.

The distance to the nearest training picture is divided by the distance to neighbour number SCALE_NEIGHBOUR, because
smooth pictures are near to many. A copy is near 0. The threshold is a low quantile over test pictures. Mirrored copies
are detected, crops and turns are not.
"""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int64Array, UInt8Array

SCALE_NEIGHBOUR = 50  # its distance is the unit
QUANTILE = 0.001  # share of real test pictures that lie below the threshold
MAX_EDGE = 16  # pixels at most; pictures are averaged down to this
LEVELS = 128  # of brightness; sums of squares are then integers that float32 holds exactly, in any order
CHUNK = 100  # pictures compared at once


@dataclass(frozen=True)
class NearestTraining:
    """The nearest training picture of each picture."""

    index: Int64Array  # (pictures,), the row of the nearest training picture
    pixels: Float64Array  # (pictures,), root mean square difference to it, in grey levels 0 … 255
    relative: Float64Array  # (pictures,), the distance to it in units of the distance to the SCALE-th nearest


def find_nearest(pictures: UInt8Array, training: UInt8Array) -> NearestTraining:
    """Find the nearest training picture of each (pictures, channels, height, width), mirrored or not."""
    training_points = np.ascontiguousarray(_to_points(training).T)
    lengths = (training_points**2).sum(0)
    starts = range(0, len(pictures), CHUNK)
    parts = [_find_nearest_chunk(pictures[start : start + CHUNK], training_points, lengths) for start in starts]
    index, first, scale = (np.concatenate(column) for column in zip(*parts, strict=True))
    root = np.sqrt(first / len(training_points)) * (255 / (LEVELS - 1))
    return NearestTraining(index, root, np.sqrt(first / np.maximum(scale, 1)))


def copy_threshold(test: NearestTraining) -> float:
    """Return the relative distance below which a picture counts as a copy."""
    return float(np.quantile(test.relative, QUANTILE))


def _find_nearest_chunk(
    pictures: UInt8Array, training_points: Float32Array, lengths: Float32Array
) -> tuple[Int64Array, Float64Array, Float64Array]:
    """Return the nearest index, its squared distance, and that of SCALE_NEIGHBOUR, (pictures,) each."""
    plain, mirrored = _to_points(pictures), _to_points(pictures[..., ::-1])
    squares = np.maximum(
        plain @ training_points, mirrored @ training_points
    )  # mirroring does not change a point's length
    squares *= -2
    squares += lengths
    index = squares.argmin(1)
    first = squares[np.arange(len(index)), index]
    squares.partition(min(SCALE_NEIGHBOUR, len(lengths)) - 1, axis=1)
    own = (plain**2).sum(1)
    scale = squares[:, min(SCALE_NEIGHBOUR, len(lengths)) - 1]
    return index, (first + own).astype(np.float64), (scale + own).astype(np.float64)


def _to_points(pictures: UInt8Array) -> Float32Array:
    """Return (pictures, values), averaged down and rounded, so that sums are exact."""
    number, channels, height, width = pictures.shape
    factor = -(-height // MAX_EDGE)
    blocks = pictures.reshape(number, channels, height // factor, factor, width // factor, factor)
    small = blocks.mean((3, 5), dtype=np.float32)
    points: Float32Array = np.rint(small * np.float32((LEVELS - 1) / 255)).reshape(number, -1)
    return points
