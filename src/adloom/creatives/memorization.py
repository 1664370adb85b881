"""
Memorization: distances of generated pictures to training pictures.

The distance to the nearest training picture is divided by the distance to neighbour number SCALE_NEIGHBOUR, because
smooth pictures are near to many. A copy is near 0. The threshold is a low quantile over test pictures. Mirrored copies
are detected, crops and turns are not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int64Array, UInt8Array

SCALE_NEIGHBOUR = 50  # its distance is the unit
QUANTILE = 0.001  # share of real test pictures that lie below the threshold
MAX_EDGE = 16  # pixels at most; pictures are averaged down to this
LEVELS = 128  # of brightness; sums of squares are then integers that float32 holds exactly, in any order
PICTURES_PER_TILE, TRAINING_PER_TILE = 256, 4096  # compared at once; the results do not depend on them


@dataclass(frozen=True)
class NearestTraining:
    """The nearest training picture of each picture."""

    index: Int64Array  # (pictures,), the number of the nearest training picture
    pixels: Float64Array  # (pictures,), root mean square difference to it, in grey levels 0 … 255
    relative: Float64Array  # (pictures,), the distance to it in units of the distance to the SCALE-th nearest

    def select(self, rows: slice) -> "NearestTraining":
        """Return the results of some of the pictures."""
        return NearestTraining(self.index[rows], self.pixels[rows], self.relative[rows])


def find_nearest(pictures: Iterable[UInt8Array], training: Iterable[UInt8Array]) -> NearestTraining:
    """
    Find the nearest training picture of each picture, mirrored or not.

    Both are batches of (pictures, channels, height, width), and each batch is used once.
    """
    points = np.concatenate([_to_points(batch) for batch in pictures])
    index = np.zeros(len(points), np.int64)
    least = np.full((len(points), SCALE_NEIGHBOUR), np.inf, np.float32)  # squared distances so far
    number = 0
    for tile in _collect_tiles(training):
        for start in range(0, len(points), PICTURES_PER_TILE):
            rows = slice(start, start + PICTURES_PER_TILE)
            squares = _compare(points[rows], tile)
            is_nearer = squares.min(1) < least[rows].min(1)
            index[rows] = np.where(is_nearer, number + squares.argmin(1), index[rows])
            candidates = np.concatenate([least[rows], squares], 1)
            candidates.partition(SCALE_NEIGHBOUR - 1, axis=1)
            least[rows] = candidates[:, :SCALE_NEIGHBOUR]
        number += len(tile)
    least.sort(1)
    first, scale = (least[:, rank].astype(np.float64) for rank in (0, min(SCALE_NEIGHBOUR, number) - 1))
    root = np.sqrt(first / points[0].size) * (255 / (LEVELS - 1))
    return NearestTraining(index, root, np.sqrt(first / np.maximum(scale, 1)))


def copy_threshold(test: NearestTraining) -> float:
    """Return the relative distance below which a picture counts as a copy."""
    return float(np.quantile(test.relative, QUANTILE))


def _collect_tiles(batches: Iterable[UInt8Array]) -> Iterator[UInt8Array]:
    """Yield the points of batches, about TRAINING_PER_TILE at once."""
    tile: list[UInt8Array] = []
    for batch in batches:
        tile.append(_to_points(batch))
        if sum(map(len, tile)) >= TRAINING_PER_TILE:
            yield np.concatenate(tile)
            tile = []
    if tile:
        yield np.concatenate(tile)


def _compare(points: UInt8Array, training: UInt8Array) -> Float32Array:
    """Return the squared distances (points, training) to the nearer of each training picture and its mirror image."""
    plain, mirrored, columns = (_flatten(each) for each in (points, points[..., ::-1], training))
    squares: Float32Array = np.maximum(plain @ columns.T, mirrored @ columns.T)  # a mirrored point is as long
    squares *= -2
    squares += (columns**2).sum(1)
    squares += (plain**2).sum(1)[:, None]
    return squares


def _flatten(points: UInt8Array) -> Float32Array:
    return points.reshape(len(points), -1).astype(np.float32)


def _to_points(pictures: UInt8Array) -> UInt8Array:
    """Return pictures averaged down to MAX_EDGE and rounded to LEVELS, so that sums are exact."""
    number, channels, height, width = pictures.shape
    factor = -(-height // MAX_EDGE)
    blocks = pictures.reshape(number, channels, height // factor, factor, width // factor, factor)
    small = blocks.mean((3, 5), dtype=np.float32)
    points: UInt8Array = np.rint(small * np.float32((LEVELS - 1) / 255)).astype(np.uint8)
    return points
