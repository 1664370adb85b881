"""
Memorization: distances of generated pictures to training pictures.

The distance to the nearest training picture is divided by the distance to neighbour number SCALE_NEIGHBOUR, because
smooth pictures are near to many. A copy is near 0. The threshold is a low quantile over test pictures. Mirrored, noisy
and compressed copies are detected, crops and turns are not. The search is exact, tile by tile: its memory does not
depend on the number of training pictures.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from adloom.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array

SCALE_NEIGHBOUR = 50  # its distance is the unit
QUANTILE = 0.001  # share of real test pictures that lie below the threshold
MAX_THRESHOLD = 0.3  # of few test pictures, even the lowest quantile is high
LEAK = 2.0  # grey levels; a test picture so near to a training picture is the same one, and tells nothing of new ones
REPEAT = 4.0  # grey levels between pictures that count as the same
CANARY_NOISE = 5.0  # grey levels, standard deviation
EMBEDDING_LEVELS = 2**11  # sums of squares of unit-length embeddings are then exact in float32
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
    points = np.concatenate([reduce_pictures(batch) for batch in pictures])
    index = np.zeros(len(points), np.int64)
    least = np.full((len(points), SCALE_NEIGHBOUR), np.inf, np.float32)  # squared distances so far
    number = 0
    for tile in map(_fold, _collect_tiles(training)):
        for start in range(0, len(points), PICTURES_PER_TILE):
            rows = slice(start, start + PICTURES_PER_TILE)
            squares = _compare(_fold(points[rows]), tile)
            is_nearer = squares.min(1) < least[rows].min(1)
            index[rows] = np.where(is_nearer, number + squares.argmin(1), index[rows])
            least[rows] = _keep_least(least[rows], squares)
        number += len(tile.length)
    least.sort(1)
    first, scale = (least[:, rank].astype(np.float64) for rank in (0, min(SCALE_NEIGHBOUR, number) - 1))
    root = np.sqrt(first / points[0].size) * (255 / (LEVELS - 1))
    return NearestTraining(index, root, np.sqrt(first / np.maximum(scale, 1)))


def copy_threshold(test: NearestTraining) -> float:
    """Return the relative distance below which a picture counts as a copy."""
    new = test.relative[test.pixels >= LEAK]
    return min(MAX_THRESHOLD, float(np.quantile(new, QUANTILE))) if len(new) else MAX_THRESHOLD


def make_canaries(training: UInt8Array, seed: int) -> UInt8Array:
    """Return copies of training pictures that a search must find: as they are, mirrored, and noisy, in turn."""
    canaries = training.copy()
    canaries[1::3] = training[1::3, :, :, ::-1]
    noise = np.random.default_rng(seed).normal(0, CANARY_NOISE, training[2::3].shape)
    canaries[2::3] = np.clip(np.rint(training[2::3] + noise), 0, 255).astype(np.uint8)
    return canaries


def find_repeats(pictures: UInt8Array) -> BoolArray:
    """Return which pictures (pictures,) repeat an earlier one, mirrored or not, up to REPEAT grey levels."""
    points = reduce_pictures(pictures)
    farthest = points[0].size * (REPEAT * (LEVELS - 1) / 255) ** 2
    repeats = np.zeros(len(points), bool)
    for start in range(0, len(points), PICTURES_PER_TILE):
        rows = slice(start, start + PICTURES_PER_TILE)
        is_same = _compare(_fold(points[rows]), _fold(points[: rows.stop])) <= farthest
        repeats[rows] = np.tril(is_same, start - 1).any(1)
    return repeats


def nearest_embeddings(embedding: Float32Array, training: Float32Array) -> tuple[Int64Array, Float64Array]:
    """Return index and distance (pictures,) of the nearest of the training pictures' unit-length embeddings."""
    points = _round_embeddings(embedding)
    index = np.zeros(len(points), np.int64)
    least = np.full(len(points), np.inf, np.float32)
    for first in range(0, len(training), TRAINING_PER_TILE):
        tile = _round_embeddings(training[first : first + TRAINING_PER_TILE])
        lengths = (tile**2).sum(1)
        for start in range(0, len(points), PICTURES_PER_TILE):
            rows = slice(start, start + PICTURES_PER_TILE)
            squares = points[rows] @ tile.T
            squares *= -2
            squares += lengths
            index[rows] = np.where(squares.min(1) < least[rows], first + squares.argmin(1), index[rows])
            least[rows] = np.minimum(squares.min(1), least[rows])
    least += (points**2).sum(1)
    return index, np.sqrt(least.astype(np.float64)) / EMBEDDING_LEVELS


def _round_embeddings(embedding: Float32Array) -> Float32Array:
    rounded: Float32Array = np.rint(embedding.astype(np.float32) * EMBEDDING_LEVELS)
    return rounded


def reduce_pictures(pictures: UInt8Array) -> UInt8Array:
    """Return pictures averaged down to MAX_EDGE and rounded to LEVELS, so that sums are exact."""
    number, channels, height, width = pictures.shape
    factor = -(-height // MAX_EDGE)
    blocks = pictures.reshape(number, channels, height // factor, factor, width // factor, factor)
    small = blocks.mean((3, 5), dtype=np.float32)
    points: UInt8Array = np.rint(small * np.float32((LEVELS - 1) / 255)).astype(np.uint8)
    return points


def _collect_tiles(batches: Iterable[UInt8Array]) -> Iterator[UInt8Array]:
    """Yield the points of batches, about TRAINING_PER_TILE at once."""
    tile: list[UInt8Array] = []
    for batch in batches:
        tile.append(reduce_pictures(batch))
        if sum(map(len, tile)) >= TRAINING_PER_TILE:
            yield np.concatenate(tile)
            tile = []
    if tile:
        yield np.concatenate(tile)


def _keep_least(least: Float32Array, squares: Float32Array) -> Float32Array:
    """Return the SCALE_NEIGHBOUR least distances of each row (rows, SCALE_NEIGHBOUR), the largest of them last."""
    nearer = np.flatnonzero(squares < least[:, -1:])  # few once some tiles are searched
    row = nearer // squares.shape[1]
    count = np.bincount(row, minlength=len(least))
    candidates = np.full((len(least), SCALE_NEIGHBOUR + count.max()), np.inf, np.float32)
    candidates[:, :SCALE_NEIGHBOUR] = least
    first = np.cumsum(count) - count
    candidates[row, SCALE_NEIGHBOUR + np.arange(len(row)) - first[row]] = squares.ravel()[nearer]
    candidates.partition(SCALE_NEIGHBOUR - 1, axis=1)
    return candidates[:, :SCALE_NEIGHBOUR]


@dataclass(frozen=True)
class _Folded:
    """Points as the sum and the difference of their halves; a mirrored point has the negative difference."""

    total: Float32Array  # (points, half of the values)
    difference: Float32Array  # (points, half of the values)
    length: Float32Array  # (points,), squared


def _fold(points: UInt8Array) -> _Folded:
    """Fold points (points, channels, height, width); a column in the middle counts half in each of two columns."""
    centred = points.astype(np.float32) - LEVELS // 2
    half = points.shape[3] // 2
    left, right, middle = (
        centred[..., :half],
        centred[..., ::-1][..., :half],
        centred[..., half : points.shape[3] - half],
    )
    parts = np.concatenate([left + right, middle, middle], 3), left - right, centred
    total, difference, every = (part.reshape(len(points), -1) for part in parts)
    return _Folded(total, difference, (every**2).sum(1))


def _compare(points: _Folded, training: _Folded) -> Float32Array:
    """Return the squared distances (points, training) to the nearer of each training picture and its mirror image."""
    squares: Float32Array = points.difference @ training.difference.T
    np.abs(squares, out=squares)
    squares += points.total @ training.total.T
    np.subtract(training.length, squares, out=squares)
    squares += points.length[:, None]
    return squares
