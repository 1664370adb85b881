"""Assign users to segments by their features. NumPy only, for serving."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from adloom.arrays import BoolArray, Float64Array, Int64Array, StrArray
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

LIMIT = 6.0  # of a scaled feature, in deviations
NEARLY_CONSTANT = 0.99  # share of users with one value, from which a feature tells no segments apart
NO_EFFECT = 1e6  # the deviation of such a feature

_ARRAYS = ("features", "median", "mean", "deviation", "prototypes", "segment", "names")
_OPTIONAL_ARRAYS = ("weights", "offsets", "noise")  # absent where no user is noise and all distances are plain
_USERS = 1 << 16  # scaled at a time
_CELLS = 1 << 16  # distances computed at a time: 512 kB, which stays in the cache


@dataclass(frozen=True)
class FeatureScale:
    """
    Scales features to comparable coordinates: nulls filled, logarithm, mean 0, deviation 1, at most LIMIT from 0.

    The limit keeps one huge customer from being a cluster, and nearly constant features have no effect.
    """

    median: Float64Array  # (features,), replaces a null
    mean: Float64Array  # (features,), of log(1 + feature)
    deviation: Float64Array  # (features,), of log(1 + feature); 1 where all users are equal

    @classmethod
    def fit(cls, features: Float64Array) -> Self:
        """Fit the scale to features (users, features), NaN where null."""
        columns = [column[~np.isnan(column)] for column in features.T]
        median = np.array([np.median(column) if len(column) else 0.0 for column in columns])
        logs = np.log1p(np.where(np.isnan(features), median, features))
        deviation = np.where(logs.std(axis=0) > 1e-12, logs.std(axis=0), 1.0)
        return cls(median, logs.mean(axis=0), np.where(_is_nearly_constant(logs), NO_EFFECT, deviation))

    def __call__(self, features: Float64Array) -> Float64Array:
        """Scale features (users, features)."""
        scaled = np.where(np.isnan(features), self.median, features)
        np.log1p(scaled, out=scaled)  # in place, because all users together are large
        scaled -= self.mean
        scaled /= self.deviation
        return np.clip(scaled, -LIMIT, LIMIT, out=scaled)


def _is_nearly_constant(columns: Float64Array) -> BoolArray:
    """Return the columns in which almost all, but not all, users are equal (features,)."""
    equal = (columns == np.median(columns, axis=0)).sum(axis=0)  # the value of more than half is the median
    return np.asarray((NEARLY_CONSTANT * len(columns) <= equal) & (equal < len(columns)))


@dataclass(frozen=True)
class Segmenter:
    """
    Assigns each user, by raw features, the segment of the nearest prototype.

    The distance to a prototype is the sum of its weights times squared differences, plus its offset. Noise is a
    prototype without weights: its offset is the distance from which a user is like nobody else.
    """

    scale: FeatureScale
    prototypes: Float64Array  # (prototypes, features), scaled
    segment: Int64Array  # (prototypes,), index of each prototype's segment
    names: tuple[str, ...]  # stable ids of the segments, the most valuable segment first
    weights: Float64Array | None = None  # (prototypes, features); None is 1
    offsets: Float64Array | None = None  # (prototypes,); None is 0
    noise: str | None = None  # the name of the segment of users that are unlike all others

    def assign(self, features: npt.ArrayLike) -> StrArray:
        """
        Return the segment id of each user (users,); features are (users, 5) in the order of FEATURES, NaN where null.

        Raises DataError naming the first invalid feature or a wrong shape.
        """
        return np.array(self.names)[self.index(features)]

    def index(self, features: npt.ArrayLike) -> Int64Array:
        """Return each user's segment as an index into `names` (users,). Raises as `assign` does."""
        values = check_features(features)
        nearest = np.empty(len(values), np.int64)
        for start in range(0, len(values), _USERS):
            part = slice(start, start + _USERS)
            nearest[part] = find_nearest(self.scale(values[part]), self.prototypes, self.weights, self.offsets)
        return self.segment[nearest]

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
            **({} if self.weights is None else {"weights": self.weights}),
            **({} if self.offsets is None else {"offsets": self.offsets}),
            **({} if self.noise is None else {"noise": np.array([self.noise])}),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved segmenter. Raises ArtifactError when it is invalid or of other features."""
        features, median, mean, deviation, prototypes, segment, names, weights, offsets, noise = npz.load(
            path, _ARRAYS, _OPTIONAL_ARRAYS
        )
        if tuple(features) != FEATURES:
            raise ArtifactError(
                f"{path}: features {', '.join(features)}, expected {', '.join(FEATURES)}; segment again"
            )
        return cls(
            FeatureScale(median, mean, deviation),
            prototypes,
            segment.astype(np.int64),
            tuple(map(str, names)),
            weights if len(weights) else None,
            offsets if len(offsets) else None,
            str(noise[0]) if len(noise) else None,
        )


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


def find_nearest(
    points: Float64Array,
    prototypes: Float64Array,
    weights: Float64Array | None = None,
    offsets: Float64Array | None = None,
) -> Int64Array:
    """
    Return the first nearest prototype of each point (points,) by squared distance, weighted and plus offsets if given.

    Sums run over the features in order, without BLAS, so that a point has the same answer alone and in a batch.
    """
    rows = max(1, _CELLS // len(prototypes))
    squares, difference = np.empty((2, min(rows, len(points)), len(prototypes)))  # reused, because fresh memory is slow
    by_feature = list(prototypes.T.copy())
    factors = [None] * len(by_feature) if weights is None else list(weights.T.copy())
    indices = np.empty(len(points), np.int64)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        total, scratch = squares[: len(part)], difference[: len(part)]
        total[:] = 0.0 if offsets is None else offsets
        for column, values, factor in zip(part.T, by_feature, factors, strict=True):
            _add_squares(total, column, values, factor, scratch)
        indices[start : start + rows] = total.argmin(axis=1)
    return indices


def _add_squares(
    total: Float64Array, column: Float64Array, values: Float64Array, factor: Float64Array | None, scratch: Float64Array
) -> None:
    """Add one feature's squared differences (points, prototypes) to the total."""
    np.subtract(column[:, None], values, out=scratch)
    np.multiply(scratch, scratch, out=scratch)
    if factor is not None:
        np.multiply(scratch, factor, out=scratch)
    total += scratch


def describe_columns(folder: Path) -> TableSignature:
    """Return the columns of the artifact's segmenter, with the median user as the example."""
    median = Segmenter.load(folder / "segmenter.npz").scale.median
    return TableSignature(
        inputs=dict.fromkeys(FEATURES, "double"),
        optional=frozenset(FEATURES),
        output=("segment", "string"),
        example=dict(zip(FEATURES, median.tolist(), strict=True)),
    )
