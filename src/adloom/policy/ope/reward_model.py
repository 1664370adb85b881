"""
The reward that a context and an action lead to: rates by empirical Bayes, learnt from other rows than they are for.

A rate of few rows says little, so it is drawn towards the rate of its parent (context and action, to action, to all) by
as many pseudo-rows as the rates below that parent differ little: within-group variance over between-group variance, by
the method of moments (Morris 1983; Buhlmann and Straub 1970).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Int64Array
from adloom.errors import DataError

Model = Callable[
    [Int64Array, Int64Array], AnyArray
]  # rows to learn from, rows to predict for: (predicted rows, actions)
MAX_PSEUDO_ROWS = 1e12  # pseudo-rows where the rates below a parent do not differ


@dataclass(frozen=True)
class Rates:
    """Mean rewards by context cell and action, as a model for `cross_fit`."""

    cell: Int64Array  # (rows,), which of the contexts a row has
    action: Int64Array  # (rows,), the logged action
    reward: AnyArray  # (rows,)
    actions: int

    def __call__(self, learn: Int64Array, predict: Int64Array) -> AnyArray:
        """Return the predicted rewards (rows to predict, actions), from the rows to learn from."""
        cells = int(self.cell.max()) + 1
        of = self.cell[learn] * self.actions + self.action[learn]
        rows, total, squares = _group_sums(of, self.reward[learn], cells * self.actions)
        overall = total.sum() / rows.sum()
        by_action = [values.reshape(cells, self.actions).sum(0) for values in (rows, total, squares)]
        parent = shrink(by_action[0], by_action[1], by_action[2], np.full(self.actions, overall))
        return shrink(rows, total, squares, np.tile(parent, cells)).reshape(cells, self.actions)[self.cell[predict]]


def shrink(rows: AnyArray, total: AnyArray, squares: AnyArray, parent: AnyArray) -> AnyArray:
    """
    Return the mean of each group (groups,), drawn towards its parent's mean.

    rows, total and squares (groups,) are how many rows a group has, the sum of their rewards and of their squares;
    parent (groups,) is the mean to be drawn to, and the mean of a group without rows.
    """
    seen = rows > 0
    mean = np.divide(total, rows, out=parent.astype(float), where=seen)
    freedom = max(float(rows.sum() - seen.sum()), 1.0)
    within = max(float((squares[seen] - rows[seen] * mean[seen] ** 2).sum()), 0.0) / freedom
    between = float((rows * (mean - parent) ** 2).sum() - within * seen.sum()) / float(rows.sum())
    pseudo = min(within / between, MAX_PSEUDO_ROWS) if between > 0 else MAX_PSEUDO_ROWS
    return np.asarray((total + pseudo * parent) / (rows + pseudo))


def cell_indices(context: pd.DataFrame) -> Int64Array:
    """Return which of the distinct contexts each row has: (rows,), from 0. No column: one context for all."""
    if not context.shape[1]:
        return np.zeros(len(context), np.int64)
    groups = context.groupby(list(context.columns), dropna=False, observed=True, sort=True)
    return np.asarray(groups.ngroup(), np.int64)


def cross_fit(model: Model, rows: int, actions: int, folds: int = 5, seed: int = 0) -> AnyArray:
    """
    Return predictions (rows, actions), each row's from a model that learnt from the rows of the other folds.

    Raises DataError when there are fewer rows than folds.
    """
    if not 2 <= folds <= rows:
        raise DataError(f"folds: {folds} of {rows} rows; expected at least 2 and at most the rows")
    fold = np.random.default_rng(seed).permutation(np.arange(rows) % folds)
    predicted = np.empty((rows, actions))
    for number in range(folds):
        held = np.flatnonzero(fold == number)
        predicted[held] = model(np.flatnonzero(fold != number), held)
    return predicted


def _group_sums(group: Int64Array, reward: AnyArray, groups: int) -> tuple[AnyArray, AnyArray, AnyArray]:
    rows = np.bincount(group, minlength=groups).astype(float)
    return rows, np.bincount(group, reward, groups), np.bincount(group, reward**2, groups)
