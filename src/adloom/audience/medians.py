"""Medians per group of users in two passes over batches: the first counts values, the second keeps the middle ones."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from adloom.arrays import Float64Array, Int64Array, IntegerArray
from adloom.audience.user_table import pair_rows

_BUCKET_SHIFT, _BUCKETS = 48, 1 << 15  # a bucket has the numbers from 0 of one exponent and four bits of the fraction


def find_medians(batches: Iterable[Float64Array], group: IntegerArray, groups: int, smallest: int = 1) -> Float64Array:
    """
    Return the medians (groups, features), NaN for fewer than `smallest` values.

    Batches have features of users (users, features) from 0, NaN where null; group (users,) is theirs.
    """
    columns: list[_Column] = []
    for values, part in pair_rows(batches, group):
        columns = columns or [_Column(groups) for _ in values.T]
        for column, value in zip(columns, values.T, strict=True):
            column.count(value, part)
    for column in columns:
        column.find_middle()
    for values, part in pair_rows(batches, group):
        for column, value in zip(columns, values.T, strict=True):
            column.keep(value, part)
    return np.array([[column.compute_median(g, smallest) for column in columns] for g in range(groups)])


@dataclass
class _Column:
    """One feature: counts per bucket, and the distinct values of the buckets in the middle, with their counts."""

    groups: int
    counts: Int64Array = field(init=False)  # (groups, buckets)
    middle: Int64Array = field(init=False)  # (groups, 2), buckets of the middle ranks
    kept: list[list[tuple[Float64Array, Int64Array]]] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.groups, _BUCKETS), np.int64)
        self.kept = [[] for _ in range(self.groups)]

    def count(self, value: Float64Array, group: IntegerArray) -> None:
        known = ~np.isnan(value)
        cell = group[known].astype(np.int64) * _BUCKETS + _find_buckets(value[known])
        self.counts += np.bincount(cell, minlength=self.counts.size).reshape(self.counts.shape)

    def find_middle(self) -> None:
        size = self.counts.sum(axis=1)
        ranks = np.stack([(size - 1) // 2, size // 2], axis=1)
        ends = self.counts.cumsum(axis=1)
        self.middle = np.array([np.searchsorted(end, rank, "right") for end, rank in zip(ends, ranks, strict=True)])

    def keep(self, value: Float64Array, group: IntegerArray) -> None:
        known = ~np.isnan(value)
        value, group = value[known], group[known]
        bucket = _find_buckets(value)
        is_middle = (bucket[:, None] == self.middle[group]).any(axis=1)
        value, group = value[is_middle], group[is_middle]
        for g in np.unique(group):
            self.kept[g].append(np.unique(value[group == g], return_counts=True))

    def compute_median(self, group: int, smallest: int) -> float:
        counts = self.counts[group]
        if (size := int(counts.sum())) < max(smallest, 1):
            return float("nan")
        values, numbers = (np.concatenate(parts) for parts in zip(*self.kept[group], strict=True))
        order = np.argsort(values)
        ends = counts[: self.middle[group, 0]].sum() + np.cumsum(numbers[order])
        ranks = np.searchsorted(ends, ((size - 1) // 2, size // 2), "right")
        return float(values[order][ranks].mean())


def _find_buckets(value: Float64Array) -> Int64Array:
    """Return the bucket of each number (users,); the bits of floats from 0 are ordered as they are."""
    return (value + 0.0).view(np.int64) >> _BUCKET_SHIFT
