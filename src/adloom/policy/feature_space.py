"""The features of a policy and their known values."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from adloom.arrays import Int64Array
from adloom.data.context import SEPARATOR
from adloom.policy.impressions import Impressions

MIN_SHARE = 0.002  # of impressions; rarer values count as unknown, which limits the size of a policy

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


def _join_codes(data: Impressions, feature: Feature) -> Int64Array:
    """Return a number per value of a feature (rows,), -1 if a column is unknown."""
    code = np.zeros(len(data), np.int64)
    for name in feature:
        if name not in data.context:
            return np.full(len(data), -1)
        column = data.context[name]
        code = np.where((code < 0) | (column.codes < 0), -1, code * len(column.categories) + column.codes)
    return code


def _frequent_values(data: Impressions, feature: Feature) -> tuple[str, ...]:
    index, used = pd.factorize(_join_codes(data, feature))
    counts = np.bincount(index, data.weight)
    frequent = used[(counts >= MIN_SHARE * data.weight.sum()) & (used >= 0)]
    columns = [data.context[name] for name in feature]
    places = np.unravel_index(frequent, [len(column.categories) for column in columns])
    names = [column.categories[place] for column, place in zip(columns, places, strict=True)]
    return tuple(sorted(SEPARATOR.join(parts) for parts in zip(*names, strict=True)))


def _value_indices(data: Impressions, feature: Feature, values: tuple[str, ...]) -> Int64Array:
    code = _join_codes(data, feature)
    if not values or not (code >= 0).any():
        return np.zeros(len(data), np.int64)
    known = np.zeros(len(values), np.int64)
    split = [value.rsplit(SEPARATOR, len(feature) - 1) for value in values]
    for name, parts in zip(feature, zip(*split, strict=True), strict=True):
        categories = pa.array(data.context[name].categories)
        place = pc.index_in(pa.array(parts, categories.type), categories).fill_null(-1).to_numpy()
        known = np.where((known < 0) | (place < 0), -1, known * len(categories) + place)
    order = np.argsort(known)
    position = np.searchsorted(known[order], code).clip(max=len(values) - 1)
    return np.where((code >= 0) & (known[order][position] == code), order[position] + 1, 0)
