"""The features of a policy and their known values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Int64Array
from adloom.policy.impressions import UNKNOWN, Impressions
from adloom.policy.scorer import SEPARATOR

MIN_SHARE = 0.002  # of rows; rarer values count as unknown, which limits the size of a policy

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
        return cls(features, tuple(_frequent_values(join_columns(data.context, feature)) for feature in features))

    def row_indices(self, context: Mapping[str, AnyArray]) -> list[Int64Array]:
        """Return each context's weight row per feature (rows,)."""
        pairs = zip(self.features, self.values, strict=True)
        return [_value_indices(join_columns(context, feature), values) for feature, values in pairs]


def join_columns(context: Mapping[str, AnyArray], feature: Feature) -> AnyArray:
    """Return a feature's values (rows,), UNKNOWN if a column is unknown."""
    columns = [context[name] for name in feature if name in context]
    if len(columns) < len(feature):
        return np.full(len(next(iter(context.values()))), UNKNOWN)
    value = columns[0]
    for column in columns[1:]:
        missing = (value == UNKNOWN) | (column == UNKNOWN)
        value = np.where(missing, UNKNOWN, np.char.add(np.char.add(value, SEPARATOR), column))
    return value


def _frequent_values(column: AnyArray) -> tuple[str, ...]:
    values, counts = np.unique(column, return_counts=True)
    frequent = counts >= MIN_SHARE * len(column)
    return tuple(str(value) for value in values[frequent] if value != UNKNOWN)


def _value_indices(column: AnyArray, values: tuple[str, ...]) -> Int64Array:
    known = np.array(["", *values])
    index = np.searchsorted(known, column)
    is_known = known[np.minimum(index, len(values))] == column
    return np.where(is_known, index, 0)
