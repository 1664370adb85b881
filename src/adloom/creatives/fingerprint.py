"""
Fingerprints of pictures: near for a picture and its mirrored, cropped, compressed or noisy form, far for two pictures.

A fingerprint is a projection of brightness and edges by place, made equal for a picture and its mirror image. The
projection is the one in which pictures differ most from each other, and least from their own changed forms (linear
discriminant analysis with a class per picture).
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Float32Array, Float64Array, UInt8Array
from adloom.creatives.pictures import split_batches
from adloom.creatives.transforms import DUPLICATES

DIMENSIONS = 64
EDGE, GRID = 28, 7  # pixels to which pictures are reduced, and places along an edge
DARKEST = 1e-4  # added before the square root, so that noise in empty places counts little
UNITS = 2.0**12  # of the grid of features
NOISE = 1e-6  # share of the largest variance below which a direction is rounding error
RIDGE = 1e-3  # of the mean variance within a picture's forms


@dataclass(frozen=True)
class Fingerprint:
    """A fitted projection."""

    mean: Float32Array  # (features,)
    projection: Float32Array  # (features, dimensions)

    def __call__(self, pixels: UInt8Array) -> Float32Array:
        """Return the fingerprints (pictures, dimensions) of pictures, of unit length."""
        return np.concatenate([self._project(pixels[rows]) for rows in split_batches(len(pixels), *pixels.shape[2:])])

    def _project(self, pixels: UInt8Array) -> Float32Array:
        projected = (_describe(pixels) - self.mean) @ self.projection
        lengths = np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        fingerprints: Float32Array = projected / lengths
        return fingerprints


@threadpool_limits.wrap(1, "blas")  # type: ignore[untyped-decorator] # more threads round differently
def fit_fingerprint(pixels: UInt8Array, seed: int) -> Fingerprint:
    """Fit the projection to pictures and their changed forms."""
    from scipy.linalg import eigh  # services have no SciPy

    batches = [*split_batches(len(pixels), *pixels.shape[2:])]
    features = _round(np.concatenate([_describe(pixels[rows]) for rows in batches]).astype(np.float64))
    within = np.zeros((features.shape[1],) * 2)
    for number, change in enumerate(DUPLICATES.values()):
        random = np.random.default_rng([seed, number])
        changed = np.concatenate([_describe(change(pixels[rows], random)) for rows in batches])
        difference = _round(changed.astype(np.float64)) - features
        within += difference.T @ difference / len(pixels) / len(DUPLICATES)
    within += (RIDGE * np.trace(within) / len(within) + np.finfo(np.float32).eps) * np.eye(len(within))
    mean = _round(features.mean(0))
    between = (features - mean).T @ (features - mean) / len(pixels)
    values, vectors = eigh(between, within, subset_by_index=(max(0, len(within) - DIMENSIONS), len(within) - 1))
    vectors[:, values < NOISE * values[-1]] = 0  # fewer pictures than dimensions leave the others to chance
    return Fingerprint(mean.astype(np.float32), _round(vectors[:, ::-1]).astype(np.float32))


def _round(values: Float64Array) -> Float64Array:
    """Return values of at most a few units on a grid, so that sums of their products are exact in any order."""
    rounded: Float64Array = np.rint(values * UNITS) / UNITS
    return rounded


def _describe(pixels: UInt8Array) -> Float32Array:
    """Return brightness, colours and edges by place (pictures, features), equal for mirrored pictures."""
    size, blur = pixels.shape[2], _average(EDGE, EDGE, 1)
    reduce, collect = blur @ _average(size, EDGE, 0), _average(EDGE, GRID, 0) @ blur @ blur
    smooth = reduce @ (pixels.astype(np.float32) / 255) @ reduce.T
    grey = smooth.mean(1, keepdims=True)
    right, down = np.gradient(grey, axis=3), np.gradient(grey, axis=2)
    edges = [np.maximum(0, each) for each in (right, -right, down, -down)]
    colours = [smooth] if len(smooth[0]) > 1 else []
    maps = np.sqrt(collect @ np.concatenate([*edges, grey, *colours], 1) @ collect.T + np.float32(DARKEST))
    mirrored = maps[:, [1, 0, *range(2, maps.shape[1])], :, ::-1]
    return np.concatenate([maps + mirrored, np.abs(maps - mirrored)], 1).reshape(len(maps), -1)


def _average(size: int, cells: int, margin: int) -> Float32Array:
    """Return the matrix (cells, size) that averages each cell with `margin` cells around it."""
    first = (np.arange(cells)[:, None] - margin) * size / cells
    last = (np.arange(cells)[:, None] + 1 + margin) * size / cells
    share = np.clip(np.minimum(last, np.arange(size) + 1) - np.maximum(first, np.arange(size)), 0, 1)
    averages: Float32Array = (share / share.sum(1, keepdims=True)).astype(np.float32)
    return averages
