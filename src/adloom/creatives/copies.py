"""
Copies: how near drawn pictures lie to single training pictures, measured against how near real new pictures lie.

Plain pixel distances would call smooth pictures copies: a plain shirt is near to many others. So the distance to the
nearest training picture is divided by that to the SCALE-th nearest: a picture among its like is near 1, a copy of one
of them near 0, smooth or not. The threshold is a low quantile of the same distances of test pictures, which were not
trained on. Mirrored copies are found too; crops, turns and copies of what stands in the training rows more than SCALE
times are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adloom.creatives.pictures import Ints, Pixels

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

SCALE = 50  # the neighbour whose distance is the unit
QUANTILE = 0.001  # share of real test pictures that lie below the threshold
EDGE = 32  # pixels; larger pictures are averaged down to this
LEVELS = 64  # grey levels; then a sum of squares is an integer that float32 holds, in whatever order it is added up
CHUNK = 500  # rows compared at once


@dataclass(frozen=True)
class Nearest:
    """For each picture its nearest training picture."""

    index: Ints  # (pictures,), the row of the nearest training picture
    pixels: Doubles  # (pictures,), root mean square difference to it, in grey levels 0 … 255
    relative: Doubles  # (pictures,), the distance to it in units of the distance to the SCALE-th nearest


def nearest(pictures: Pixels, training: Pixels) -> Nearest:
    """Find the nearest training picture, mirrored or not, of each (pictures, channels, height, width)."""
    known = _points(training)
    parts = [_nearest(*chunk, known) for chunk in _chunks(pictures)]
    index, first, scale = (np.concatenate(column) for column in zip(*parts, strict=True))
    root = np.sqrt(first / known.shape[1]) * (255 / (LEVELS - 1))
    return Nearest(index, root, np.sqrt(first / np.maximum(scale, 1)))


def threshold(test: Nearest) -> float:
    """Return the relative distance below which a picture counts as a copy."""
    return float(np.quantile(test.relative, QUANTILE))


def _chunks(pictures: Pixels) -> Iterator[tuple[Singles, Singles]]:
    for start in range(0, len(pictures), CHUNK):
        chunk = pictures[start : start + CHUNK]
        yield _points(chunk), _points(chunk[..., ::-1])


def _nearest(plain: Singles, mirrored: Singles, known: Singles) -> tuple[Ints, Doubles, Doubles]:
    """Return index, squared distance of the nearest, and squared distance of the SCALE-th nearest."""
    squares = np.minimum(_squares(plain, known), _squares(mirrored, known))
    index = squares.argmin(1)
    last = min(SCALE, len(known)) - 1
    scale = np.partition(squares, last, axis=1)[:, last]
    return index, squares[np.arange(len(index)), index].astype(np.float64), scale.astype(np.float64)


def _squares(points: Singles, known: Singles) -> Singles:
    """Return squared distances (points, known)."""
    lengths = (points**2).sum(1)[:, None] + (known**2).sum(1)[None, :]
    squares: Singles = np.maximum(lengths - 2 * (points @ known.T), 0)
    return squares


def _points(pictures: Pixels) -> Singles:
    """Return (pictures, values): averaged down to EDGE and rounded to LEVELS, so that sums are exact."""
    number, channels, height, width = pictures.shape
    factor = max(1, height // EDGE)
    blocks = pictures.reshape(number, channels, height // factor, factor, width // factor, factor)
    small = blocks.mean((3, 5), dtype=np.float32) if factor > 1 else pictures.astype(np.float32)
    points: Singles = np.rint(small * np.float32((LEVELS - 1) / 255)).reshape(number, -1)
    return points
