"""The cases that recommenders are measured on: a user's items so far, and the next new one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import BoolArray, Float64Array, Int32Array, Int64Array
from adloom.evaluation import statistics
from adloom.evaluation.metric import Sample
from adloom.recommendation.interactions import UNKNOWN, Interactions, pick_evenly
from adloom.recommendation.recommender import ItemScorer

TOP = 10  # items of a recommendation that count
MAX_USERS = 5_000  # users that are measured, evenly spaced
MAX_CASES = 50  # of a user, the first ones
BATCH_CELLS = 4_000_000  # cases times items that are scored at once


@dataclass(frozen=True)
class Cases:
    """Histories and next items."""

    histories: list[Int32Array]  # of known items, oldest first
    target: Int32Array  # (cases,), UNKNOWN for an item that no model knows
    user: Int64Array  # (cases,), from 0 without gaps, ascending
    users: int


def find_cases(interactions: Interactions, start: int) -> Cases:
    """Return the cases from a time on: each first event of a user with an item, after all of the user's before."""
    user = interactions.user
    rows = np.flatnonzero(_is_first(interactions) & (interactions.time >= start))
    rows = rows[np.isin(user[rows], pick_evenly(np.unique(user[rows]), MAX_USERS))]
    number = pd.Series(rows).groupby(user[rows]).cumcount().to_numpy()
    rows = rows[number < MAX_CASES]
    histories = [interactions.item[interactions.starts[user[row]] : row] for row in rows]
    measured, compact = np.unique(user[rows], return_inverse=True)
    known = [history[history != UNKNOWN] for history in histories]
    return Cases(known, interactions.item[rows], compact.astype(np.int64), len(measured))


def find_ranks(scorer: ItemScorer, popularity: ItemScorer, cases: Cases, items: int) -> Float64Array:
    """
    Return the rank of each case's next item among the items that are not in its history, from 1 (cases,).

    The popularity scores the cases without history. Ties go to the smaller number. An unknown item has rank infinity.
    """
    ranks = np.full(len(cases.target), np.inf)
    for rows in _split(len(ranks), max(BATCH_CELLS // max(items, 1), 1)):
        empty = np.array([not len(cases.histories[row]) for row in rows])
        for part, model in ((rows[empty], popularity), (rows[~empty], scorer)):
            if len(part):
                ranks[part] = _rank([cases.histories[row] for row in part], cases.target[part], model)
    return ranks


def measure_ranks(ranks: Float64Array, cases: Cases) -> dict[str, Sample]:
    """Return recall and NDCG among the first TOP items; a row is a user, so that intervals are over users."""
    counts = np.bincount(cases.user, minlength=cases.users).astype(np.float64)
    gains = {f"recall_at_{TOP}": recall(ranks), f"ndcg_at_{TOP}": ndcg(ranks)}
    return {
        name: Sample((np.bincount(cases.user, gain, cases.users), counts), statistics.ratio, "share")
        for name, gain in gains.items()
    }


def recall(ranks: Float64Array) -> Float64Array:
    """Return 1 for each next item among the first TOP, else 0."""
    return (ranks <= TOP).astype(np.float64)


def ndcg(ranks: Float64Array) -> Float64Array:
    """Return 1 / log2(rank + 1) for each next item among the first TOP, else 0: the best order has it first."""
    return np.where(ranks <= TOP, 1 / np.log2(ranks + 1), 0.0)


def _rank(histories: Sequence[Int32Array], target: Int32Array, model: ItemScorer) -> Float64Array:
    scores = model.score(histories).copy()
    for row, history in enumerate(histories):
        scores[row, history] = -np.inf
    own = np.take_along_axis(scores, np.maximum(target, 0)[:, None], axis=1)
    is_smaller = np.arange(scores.shape[1]) < target[:, None]
    better = (scores > own).sum(axis=1) + ((scores == own) & is_smaller).sum(axis=1)
    return np.where(target == UNKNOWN, np.inf, better + 1.0)


def _is_first(interactions: Interactions) -> BoolArray:
    """Return whether an event is its user's first with the item; unknown items are all new."""
    pairs = pd.DataFrame({"user": interactions.user, "item": interactions.item})
    first: BoolArray = ~pairs.duplicated().to_numpy() | (interactions.item == UNKNOWN)
    return first


def _split(rows: int, size: int) -> Iterator[Int64Array]:
    return (np.arange(start, min(start + size, rows)) for start in range(0, rows, size))
