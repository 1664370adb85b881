"""The features of a policy and their known values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from adloom.arrays import Int64Array
from adloom.policy.impressions import Impressions
from adloom.policy.scorer import SEPARATOR

MIN_SHARE = 0.002  # of impressions; rarer values count as unknown, which limits the size of a policy
UNKNOWN = ""  # value of a feature with a missing column

Feature = tuple[str, ...]  # columns of the context


@dataclass(frozen=True)
class FeatureSpace:
    """Features and their values; row 0 of a feature's weights is for other values."""

    features: tuple[Feature, ...]
    values: tuple[tuple[str, ...], ...]

    @classmethod
    def from_impressions(cls, data: Impressions, features: tuple[Feature, ...] | None = None) -> Self:
        """Return the features of impressions."""
        if features is None:
            positions = [("placement", "position")] if "position" in data.context else []
            features = (*((name,) for name in data.context if name != "position"), *positions)
        return cls(features, tuple(_frequent_values(data, feature) for feature in features))

    def row_indices(self, data: Impressions) -> list[Int64Array]:
        """Return each context's weight row per feature (rows,)."""
        return [_value_indices(data, *pair) for pair in zip(self.features, self.values, strict=True)]


def join_columns(context: Mapping[str, pd.Categorical], feature: Feature) -> tuple[Int64Array, list[str]]:
    """Return a feature's values as indices (rows,) into distinct ones, UNKNOWN if a column is unknown."""
    columns = [context[name] for name in feature if name in context]
    if len(columns) < len(feature):
        return np.zeros(len(next(iter(context.values()))), np.int64), [UNKNOWN]
    code = columns[0].codes.astype(np.int64)
    for column in columns[1:]:
        code = np.where((code < 0) | (column.codes < 0), -1, code * len(column.categories) + column.codes)
    index, used = pd.factorize(code)
    places = np.unravel_index(np.maximum(used, 0), [len(column.categories) for column in columns])
    names = [column.categories[place] for column, place in zip(columns, places, strict=True)]
    joined = np.array([SEPARATOR.join(parts) for parts in zip(*names, strict=True)], object)
    joined[used < 0] = UNKNOWN
    return index.astype(np.int64), joined.tolist()


def _frequent_values(data: Impressions, feature: Feature) -> tuple[str, ...]:
    index, values = join_columns(data.context, feature)
    counts = np.bincount(index, data.weight)
    frequent = counts >= MIN_SHARE * data.weight.sum()
    return tuple(sorted(values[i] for i in np.flatnonzero(frequent) if values[i] != UNKNOWN))


def _value_indices(data: Impressions, feature: Feature, values: tuple[str, ...]) -> Int64Array:
    index, distinct = join_columns(data.context, feature)
    known = {value: i for i, value in enumerate(values, 1)}
    return np.array([known.get(value, 0) for value in distinct], np.int64)[index]
