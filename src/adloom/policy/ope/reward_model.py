"""
Cross-fitted reward rates by context and action, by empirical Bayes.

A rate is shrunk to its parent (action, then all) with within- over between-group variance as pseudo-rows (Buhlmann and
Straub 1970).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Int64Array
from adloom.errors import DataError

Model = Callable[[Int64Array, Int64Array], AnyArray]  # training rows, prediction rows → (prediction rows, actions)
MAX_PSEUDO_ROWS = 1e12  # if the rates of a parent's children do not differ


@dataclass(frozen=True)
class Rates:
    """Mean rewards by context and action, for `cross_fit`."""

    cell: Int64Array  # (rows,) index of the context
    action: Int64Array  # (rows,) logged action
    reward: AnyArray  # (rows,)
    actions: int

    def __call__(self, learn: Int64Array, predict: Int64Array) -> AnyArray:
        """Return predicted rewards (prediction rows, actions)."""
        cells = int(self.cell.max()) + 1
        group = self.cell[learn] * self.actions + self.action[learn]
        reward, groups = self.reward[learn], cells * self.actions
        rows = np.bincount(group, minlength=groups).astype(float)
        total, squares = np.bincount(group, reward, groups), np.bincount(group, reward**2, groups)
        overall = total.sum() / rows.sum()
        by_action = [values.reshape(cells, self.actions).sum(0) for values in (rows, total, squares)]
        parent = shrink(by_action[0], by_action[1], by_action[2], np.full(self.actions, overall))
        return shrink(rows, total, squares, np.tile(parent, cells)).reshape(cells, self.actions)[self.cell[predict]]


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


def cross_fit(model: Model, rows: int, actions: int, folds: int = 5, seed: int = 0) -> AnyArray:
    """Return predictions (rows, actions) from models trained on other folds. Raises DataError."""
    if not 2 <= folds <= rows:
        raise DataError(f"folds: {folds} of {rows} rows; expected 2 to {rows}")
    fold = np.random.default_rng(seed).permutation(np.arange(rows) % folds)
    predicted = np.empty((rows, actions))
    for number in range(folds):
        held_out = np.flatnonzero(fold == number)
        predicted[held_out] = model(np.flatnonzero(fold != number), held_out)
    return predicted
