"""The values of a feature in two periods, as shares of bins."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Float64Array, Int64Array

Kind = Literal["feature", "prediction", "segments", "shown"]

BINS = 32  # of a number, by quantiles of both periods
PROJECTIONS = 16  # random directions in which embeddings are compared
PROJECTION_BINS = 8  # bins of each
RARE = 0.005  # share of both periods below which values are counted together
SEED = 7  # of the directions


@dataclass(frozen=True)
class FeatureSample:
    """The values of a feature in a period."""

    values: AnyArray  # (rows,) numbers or names, or embeddings (rows, dimensions)
    cluster: AnyArray  # (rows,) number of the user; rows of one user are not independent
    weight: AnyArray  # (rows,) observations that the row stands for

    def mean(self) -> float:
        """Return the mean of numbers."""
        return float((self.values * self.weight).sum() / self.weight.sum())

    def with_values(self, values: AnyArray) -> "FeatureSample":
        """Return other values of the same rows."""
        return FeatureSample(values, self.cluster, self.weight)

    def select(self, rows: AnyArray) -> "FeatureSample":
        """Return the selected rows."""
        return FeatureSample(self.values[rows], self.cluster[rows], self.weight[rows])


@dataclass(frozen=True)
class Feature:
    """A feature of a table in the reference and in the current period."""

    table: str
    name: str
    kind: Kind
    reference: FeatureSample
    current: FeatureSample
    explanation: str = ""  # why a change is expected and raises no alarm

    @property
    def is_number(self) -> bool:
        """Whether the values are ordered: numbers or embeddings."""
        return bool(np.issubdtype(self.reference.values.dtype, np.floating))


@dataclass(frozen=True)
class BinnedColumn:
    """The bin of each row; an embedding has a column per direction."""

    reference: Int64Array  # (rows,)
    current: Int64Array
    bins: int
    names: tuple[str, ...] = ()  # of the bins of a categorical feature


def bin_feature(feature: Feature) -> list[BinnedColumn]:
    """Return the columns of a feature: quantile bins of numbers, or a bin per frequent name."""
    reference, current = feature.reference.values, feature.current.values
    if not feature.is_number:
        return [_bin_names(feature)]
    if reference.ndim == 1:
        return [bin_numbers(reference, current, np.concatenate([reference, current]), BINS)]
    directions = np.random.default_rng(SEED).normal(size=(PROJECTIONS, reference.shape[1]))
    projected = [tuple((values * axis).sum(1) for values in (reference, current)) for axis in directions]
    return [bin_numbers(old, new, np.concatenate([old, new]), PROJECTION_BINS) for old, new in projected]


def bin_numbers(reference: AnyArray, current: AnyArray, both: AnyArray, bins: int) -> BinnedColumn:
    """Return the bins of numbers between the quantiles of `both`; missing numbers have the first bin."""
    known = both[np.isfinite(both)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="lower")) if len(known) else known
    old, new = (
        np.where(np.isnan(values), 0, np.searchsorted(edges, values, "left") + 1) for values in (reference, current)
    )
    return BinnedColumn(old, new, len(edges) + 2)


def count_bins(column: Int64Array, weight: AnyArray, bins: int) -> Float64Array:
    """Return the shares of the bins (bins,)."""
    return np.asarray(np.bincount(column, weight, minlength=bins) / weight.sum())


def _bin_names(feature: Feature) -> BinnedColumn:
    both = np.concatenate([feature.reference.values, feature.current.values]).astype(object)
    codes, names = pd.factorize(both, sort=True, use_na_sentinel=False)
    split = len(feature.reference.values)
    weight = np.concatenate([feature.reference.weight, feature.current.weight])
    rare = np.bincount(codes, weight, len(names)) < RARE * weight.sum()
    target = np.where(rare, 0, np.cumsum(~rare))
    kept = ("(rare)", *(str(name) for name in names[~rare]))
    return BinnedColumn(target[codes[:split]], target[codes[split:]], len(kept), kept)
