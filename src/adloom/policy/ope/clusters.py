"""Rows that stand for several impressions, and rows of one user, which are not independent."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, IntegerArray
from adloom.errors import DataError


@dataclass(frozen=True)
class Clusters:
    """The impressions and the user of each row. Every impression of an unknown user is a cluster of its own."""

    counts: AnyArray  # (rows,) impressions that the row stands for
    users: IntegerArray  # (rows,) number of the user, -1 if unknown

    @classmethod
    def single(cls, rows: int) -> Self:
        """Return rows of one impression each, of unknown users; the arrays need no memory."""
        return cls(np.broadcast_to(np.float64(1), rows), np.broadcast_to(np.int64(-1), rows))

    def __post_init__(self) -> None:
        if len(self.counts) and not self.counts.min() > 0:
            raise DataError(f"weight: {self.counts.min():g}, expected the number of impressions of a row, above 0")

    @property
    def total(self) -> float:
        """The number of impressions."""
        return float(self.counts.sum())

    def mean(self, values: AnyArray) -> float:
        """Return the mean of values (rows,) per impression."""
        return float((self.counts * values).sum()) / self.total

    def sum_by_user(self, values: AnyArray) -> AnyArray:
        """Return the sums over each known user's impressions (users,); users without rows have 0."""
        sums: AnyArray = np.bincount(self.users + 1, self.counts * values)[1:]
        return sums

    def power_sums(self, deviation: AnyArray) -> tuple[float, float]:
        """Return the sums over clusters of the 2nd and 3rd power of the cluster's deviation; rows have (rows,)."""
        alone, sums = np.where(self.users < 0, self.counts, 0.0), self.sum_by_user(deviation)
        squares = float((alone * deviation * deviation).sum() + (sums * sums).sum())
        return squares, float((alone * deviation * deviation * deviation).sum() + (sums * sums * sums).sum())

    def count(self) -> float:
        """Return the number of clusters."""
        return float(self.counts[self.users < 0].sum() + np.count_nonzero(self.sum_by_user(np.ones(len(self.counts)))))

    def largest_share(self, reward: AnyArray) -> float:
        """Return the largest share of the rewarded rows that one user has."""
        rewarded = (reward != 0).astype(float)
        total = float((self.counts * rewarded).sum())
        return float(self.sum_by_user(rewarded).max(initial=0)) / total if total else 0.0

    def count_rewarded(self, reward: AnyArray) -> float:
        """Return the number of rewarded rows."""
        return float(self.counts[reward != 0].sum())

    def design_effect(self, terms: AnyArray) -> float:
        """Return how often larger the variance by user is than the variance by row, at least 1 (Kish 1965)."""
        deviation = terms - self.mean(terms)
        by_row = float((self.counts * deviation * deviation).sum())
        return max(self.power_sums(deviation)[0] / by_row, 1.0) if by_row else 1.0
