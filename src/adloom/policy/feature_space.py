"""The space of contexts: which features a policy looks at, and the values of each that it knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Int64Array
from adloom.policy.impressions import UNKNOWN, Impressions
from adloom.policy.scorer import SEPARATOR

MIN_SHARE = 0.002  # of the rows: a rarer value is treated as unknown, which bounds the size of a policy

Feature = tuple[str, ...]  # columns of the context


@dataclass(frozen=True)
class FeatureSpace:
    """Features, and the values of each in ascending order; row 0 of a feature's weights is for all other values."""

    features: tuple[Feature, ...]
    values: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, data: Impressions, features: tuple[Feature, ...] | None = None) -> Self:
        """Return the space that impressions span: each column of the context, and a placement's positions."""
        found = features or tuple(_default_features(data))
        return cls(found, tuple(_frequent_values(join_columns(data.context, feature)) for feature in found))

    def rows(self, context: Mapping[str, AnyArray]) -> list[Int64Array]:
        """Return for each feature the row of its weights that each context is in (rows,)."""
        pairs = zip(self.features, self.values, strict=True)
        return [_value_indices(join_columns(context, feature), values) for feature, values in pairs]


def join_columns(context: Mapping[str, AnyArray], feature: Feature) -> AnyArray:
    """Return the value of a feature in each row (rows,), UNKNOWN where one of its columns is."""
    columns = [context[name] for name in feature if name in context]
    if len(columns) < len(feature):
        return np.full(len(next(iter(context.values()))), UNKNOWN)
    value = columns[0]
    for column in columns[1:]:
        missing = (value == UNKNOWN) | (column == UNKNOWN)
        value = np.where(missing, UNKNOWN, np.char.add(np.char.add(value, SEPARATOR), column))
    return value


def _default_features(data: Impressions) -> list[Feature]:
    positions = [("placement", "position")] if "position" in data.context else []
    return [*((name,) for name in data.context if name != "position"), *positions]


def _frequent_values(column: AnyArray) -> tuple[str, ...]:
    values, counts = np.unique(column, return_counts=True)
    frequent = counts >= MIN_SHARE * len(column)
    return tuple(str(value) for value in values[frequent] if value != UNKNOWN)


def _value_indices(column: AnyArray, values: tuple[str, ...]) -> Int64Array:
    known = np.array(["", *values])
    place = np.searchsorted(known, column)
    hit = known[np.minimum(place, len(values))] == column
    return np.where(hit, place, 0)
