"""
Cross-fitted reward rates by context and action, by empirical Bayes.

A rate is shrunk to its parent (action, then all) with within- over between-group variance as pseudo-rows (Buhlmann and
Straub 1970).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array, IntegerArray
from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters

MAX_PSEUDO_ROWS = 1e12  # if the rates of a parent's children do not differ


@dataclass(frozen=True)
class Rates:
    """Mean rewards by context and action, for `cross_fit`."""

    cell: IntegerArray  # (rows,) index of the context
    action: IntegerArray  # (rows,) logged action
    reward: AnyArray  # (rows,)
    actions: int

    def fit(self, counts: AnyArray) -> Float64Array:
        """Return the reward of each action in each context (contexts, actions) by rows that occur `counts` times."""
        cells = int(self.cell.max()) + 1
        group, groups = self.cell.astype(np.int64) * self.actions + self.action, cells * self.actions
        rows, total, squares = (np.bincount(group, counts * self.reward**p, groups) for p in range(3))
        overall = total.sum() / rows.sum()
        by_action = [values.reshape(cells, self.actions).sum(0) for values in (rows, total, squares)]
        parent = shrink(by_action[0], by_action[1], by_action[2], np.full(self.actions, overall))
        return shrink(rows, total, squares, np.tile(parent, cells)).reshape(cells, self.actions)


@dataclass(frozen=True)
class CrossFit:
    """Rewards predicted for each row by models of the other folds."""

    tables: Float64Array  # (folds, contexts, actions) of the model without the fold
    share: Float32Array  # (folds, rows) of the row's impressions in the fold
    cell: IntegerArray  # (rows,) index of the context

    def predict(self, action: IntegerArray) -> Float64Array:
        """Return the predicted reward of an action per row (rows,)."""
        result = np.zeros(len(self.cell))
        for table, share in zip(self.tables, self.share, strict=True):
            result += share * table[self.cell, action]
        return result


def shrink(rows: AnyArray, total: AnyArray, squares: AnyArray, parent: AnyArray) -> AnyArray:
    """Return groups' means (groups,), shrunk to `parent` (groups,)."""
    observed = rows > 0
    mean = np.divide(total, rows, out=parent.astype(float), where=observed)
    freedom = max(float(rows.sum() - observed.sum()), 1.0)
    within = max(float((squares[observed] - rows[observed] * mean[observed] ** 2).sum()), 0.0) / freedom
    between = float((rows * (mean - parent) ** 2).sum() - within * observed.sum()) / float(rows.sum())
    pseudo = min(within / between, MAX_PSEUDO_ROWS) if between > 0 else MAX_PSEUDO_ROWS
    return np.asarray((total + pseudo * parent) / (rows + pseudo))


def cell_indices(context: pd.DataFrame) -> Int64Array:
    """Return the index of each row's context (rows,)."""
    if not context.shape[1]:
        return np.zeros(len(context), np.int64)
    groups = context.groupby(list(context.columns), dropna=False, observed=True, sort=True)
    return np.asarray(groups.ngroup(), np.int64)


def cross_fit(rates: Rates, folds: int = 5, seed: int = 0, clusters: Clusters | None = None) -> CrossFit:
    """Fit rates without each fold of the impressions. Raises DataError."""
    clusters = clusters or Clusters.single(len(rates.cell))
    held = _draw_folds(clusters, folds, np.random.default_rng(seed))
    tables = np.stack([rates.fit(clusters.counts - fold) for fold in held])
    return CrossFit(tables, (held / clusters.counts).astype(np.float32), rates.cell)


def _draw_folds(clusters: Clusters, folds: int, rng: np.random.Generator) -> Float32Array:
    """Return how many of each row's impressions are in each fold (folds, rows)."""
    rows, several = len(clusters.counts), clusters.counts > 1
    if not 2 <= folds <= clusters.total:
        raise DataError(f"folds: {folds} of {clusters.total:g} impressions; expected 2 to {clusters.total:g}")
    fold = rng.permutation(np.arange(rows) % folds)
    held = np.stack([fold == number for number in range(folds)]).astype(np.float32)
    counts = clusters.counts[several].astype(np.int64)
    held[:, several] = rng.multinomial(counts, np.full(folds, 1 / folds)).T
    return held
