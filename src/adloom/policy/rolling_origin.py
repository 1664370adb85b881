"""
Rolling origins: at each, models learn from the log so far, and the impressions until the next one judge them.

Only creatives shown before the origin can be chosen there, as a served policy knows those that run. Impressions of
others stay in the log with weight 0, so estimates have no bias.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from adloom.arrays import Int64Array, IntegerArray
from adloom.policy.batch import ContextIndex, score_batches
from adloom.policy.impressions import Impressions
from adloom.policy.ope.terms import ProbabilityBatch
from adloom.policy.scorer import Policy

ORIGINS = 6
FIRST_ORIGIN = 0.4  # share of the period before the first origin


@dataclass(frozen=True)
class Fold:
    """The impressions before an origin, and those until the next one with a choice among known creatives."""

    early: Impressions
    late: Impressions  # the candidates are those shown before the origin
    rows: Int64Array  # (late rows,) of the whole period


def split_origins(data: Impressions) -> list[Fold]:
    """Return the folds with something to learn and something to judge."""
    start, end = data.timestamp[0], data.timestamp[-1]
    shares = np.linspace(FIRST_ORIGIN, 1, ORIGINS + 1)
    bounds = [int(np.searchsorted(data.timestamp, start + (end - start) * share, "right")) for share in shares]
    folds = (_split_at(data, origin, until) for origin, until in pairwise(bounds))
    return [fold for fold in folds if 0 < fold.early.rewarded < fold.early.count and len(fold.rows)]


def _split_at(data: Impressions, origin: int, until: int) -> Fold:
    early, late = data.select(slice(origin)), data.select(slice(origin, until))
    known = np.bincount(early.shown, minlength=len(data.creatives)) > 0
    numbers, offered = np.unique(late.offered, return_inverse=True)
    late = replace(late, sets=data.sets.filter(numbers, known), offered=offered.astype(np.int32))
    rows = np.flatnonzero(np.diff(late.sets.starts)[late.offered] > 1)
    return Fold(early, late.select(rows), origin + rows)


class FoldScorer:
    """Scores the impressions of all folds by a model that was fitted at each origin."""

    def __init__(self, folds: Sequence[Fold], policies: Sequence[Policy], cell: IntegerArray) -> None:
        """Index the contexts; `cell` has the rows of all folds (rows,)."""
        self._folds, self._policies = folds, policies
        self._bounds = np.cumsum([0, *(len(fold.rows) for fold in folds)]).tolist()
        self._cells = [cell[first:last] for first, last in pairwise(self._bounds)]
        triples = zip(policies, folds, self._cells, strict=True)
        self._indices = [ContextIndex.build(policy, fold.late, cells) for policy, fold, cells in triples]

    def score_batches(self, temperature: float, floor: float) -> Iterator[ProbabilityBatch]:
        """Yield the probabilities of all folds."""
        parts = zip(self._policies, self._folds, self._cells, self._indices, self._bounds, strict=False)
        for policy, fold, cell, index, first in parts:
            cooled = replace(policy, temperature=temperature, floor=floor)
            for batch in score_batches(cooled, fold.late, cell, index):
                yield replace(batch, rows=batch.rows + first)
