"""Assign users to segments by their features. NumPy only, for serving."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from adloom.arrays import Float64Array, Int64Array, StrArray
from adloom.config.models import TableSignature
from adloom.errors import ArtifactError, DataError
from adloom.storage import npz

FEATURES = (
    "recency_days",
    "frequency",
    "monetary",
    "tenure_days",
    "interpurchase_days",
)  # in this order everywhere

_ARRAYS = ("features", "median", "mean", "deviation", "prototypes", "segment", "names")
_CELLS = 1 << 16  # distances computed at a time: 512 kB, which stays in the cache


@dataclass(frozen=True)
class FeatureScale:
    """Scales features to comparable coordinates: nulls filled, logarithm, mean 0, deviation 1."""

    median: Float64Array  # (features,), replaces a null
    mean: Float64Array  # (features,), of log(1 + feature)
    deviation: Float64Array  # (features,), of log(1 + feature); 1 where all users are equal

    @classmethod
    def fit(cls, features: Float64Array) -> Self:
        """Fit the scale to features (users, features), NaN where null."""
        columns = [column[~np.isnan(column)] for column in features.T]
        median = np.array([np.median(column) if len(column) else 0.0 for column in columns])
        logs = np.log1p(np.where(np.isnan(features), median, features))
        deviation = logs.std(axis=0)
        return cls(median, logs.mean(axis=0), np.where(deviation > 1e-12, deviation, 1.0))

    def __call__(self, features: Float64Array) -> Float64Array:
        """Scale features (users, features)."""
        filled = np.where(np.isnan(features), self.median, features)
        return (np.log1p(filled) - self.mean) / self.deviation


@dataclass(frozen=True)
class Segmenter:
    """Assigns each user, by raw features, the segment of the nearest prototype."""

    scale: FeatureScale
    prototypes: Float64Array  # (prototypes, features), scaled
    segment: Int64Array  # (prototypes,), index of each prototype's segment
    names: tuple[str, ...]  # of the segments: segment-1 is the most valuable

    def assign(self, features: npt.ArrayLike) -> StrArray:
        """
        Return the segment id of each user (users,); features are (users, 5) in the order of FEATURES, NaN where null.

        Raises DataError naming the first invalid feature or a wrong shape.
        """
        return np.array(self.names)[self.index(features)]

    def index(self, features: npt.ArrayLike) -> Int64Array:
        """Return each user's segment as an index into `names` (users,). Raises as `assign` does."""
        return self.segment[find_nearest(self.scale(check_features(features)), self.prototypes)]

    def save(self, path: Path) -> None:
        """Write an npz file without pickle."""
        npz.save(
            path,
            features=np.array(FEATURES),
            median=self.scale.median,
            mean=self.scale.mean,
            deviation=self.scale.deviation,
            prototypes=self.prototypes,
            segment=self.segment.astype(np.uint16),
            names=np.array(self.names),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved segmenter. Raises ArtifactError when it is invalid or of other features."""
        features, median, mean, deviation, prototypes, segment, names = npz.load(path, _ARRAYS)
        if tuple(features) != FEATURES:
            raise ArtifactError(
                f"{path}: features {', '.join(features)}, expected {', '.join(FEATURES)}; segment again"
            )
        return cls(FeatureScale(median, mean, deviation), prototypes, segment.astype(np.int64), tuple(map(str, names)))


def check_features(features: npt.ArrayLike) -> Float64Array:
    """Return features as floats (users, 5). Raises DataError when they are invalid."""
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(FEATURES):
        raise DataError(f"features: shape {values.shape}, expected (users, {len(FEATURES)}): {', '.join(FEATURES)}")
    invalid = (values < 0) | np.isinf(values)
    if invalid.any():
        user, column = np.argwhere(invalid)[0]
        raise DataError(f"{FEATURES[column]}: {values[user, column]} in row {user}; expected a number from 0, or null")
    return values


def find_nearest(points: Float64Array, prototypes: Float64Array) -> Int64Array:
    """
    Return the first nearest prototype of each point (points,) by Euclidean distance.

    Sums run over the features in order, without BLAS, so that a point has the same answer alone and in a batch.
    """
    rows = max(1, _CELLS // len(prototypes))
    squares, difference = np.empty((2, min(rows, len(points)), len(prototypes)))  # reused, because fresh memory is slow
    by_feature, indices = prototypes.T.copy(), np.empty(len(points), np.int64)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        indices[start : start + rows] = _squared_distances(part, by_feature, squares, difference).argmin(axis=1)
    return indices


def _squared_distances(
    points: Float64Array, prototypes: Float64Array, squares: Float64Array, difference: Float64Array
) -> Float64Array:
    """Return squared distances (points, prototypes) in `squares`; prototypes are (features, prototypes)."""
    squares, difference = squares[: len(points)], difference[: len(points)]
    squares.fill(0.0)
    for column, values in zip(points.T, prototypes, strict=True):
        np.subtract(column[:, None], values, out=difference)
        np.multiply(difference, difference, out=difference)
        squares += difference
    return squares


def describe_columns(folder: Path) -> TableSignature:
    """Return the columns of the artifact's segmenter, with the median user as the example."""
    median = Segmenter.load(folder / "segmenter.npz").scale.median
    return TableSignature(
        inputs=dict.fromkeys(FEATURES, "double"),
        optional=frozenset(FEATURES),
        output=("segment", "string"),
        example=dict(zip(FEATURES, median.tolist(), strict=True)),
    )
