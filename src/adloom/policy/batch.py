"""Probabilities of many impressions at once, from the scorer's arrays."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Float64Array, Int64Array, IntegerArray
from adloom.policy.distribution import distribute
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.ope.terms import ProbabilityBatch
from adloom.policy.row_groups import group_rows
from adloom.policy.scorer import Policy
from adloom.policy.thompson import Variances

MAX_CANDIDATES = 2**19  # scored at once by a softmax
MAX_SAMPLED = 2**15  # by Thompson sampling, which takes more memory


@dataclass(frozen=True)
class ContextIndex:
    """Distinct contexts of impressions: rows of one have the same candidates, features and cell."""

    features: list[Int64Array]  # (rows,) each, index into a feature's weights
    context: Int64Array  # (rows,) number of the context
    first: Int64Array  # (contexts,) its first row
    order: Int64Array  # (rows,) rows by context

    @classmethod
    def build(cls, policy: Policy, data: Impressions, cell: IntegerArray) -> Self:
        """Return the contexts that a policy and a `cell` (rows,) tell apart."""
        features = FeatureSpace(policy.features, policy.values).row_indices(data)
        context, first = group_rows([data.offered, cell, *features])
        return cls(features, context, first, np.argsort(context, kind="stable"))


def score_batches(
    policy: Policy, data: Impressions, cell: IntegerArray, index: ContextIndex | None = None
) -> Iterator[ProbabilityBatch]:
    """
    Yield the policy's probabilities by distinct context, in batches of bounded memory.

    The `index` is that of a policy with the same features and values.
    """
    index = index or ContextIndex.build(policy, data, cell)
    limit = MAX_SAMPLED if policy.variances else MAX_CANDIDATES
    history = set(policy.creatives[: len(policy.creatives) - policy.new])
    new = np.array([creative not in history for creative in data.creatives])
    ends = np.concatenate([[0], np.cumsum(np.bincount(index.context))])
    for start, end in _split_evenly(np.diff(data.sets.starts)[data.offered[index.first]], limit):
        contexts, rows = index.first[start:end], index.order[ends[start] : ends[end]]
        starts, action = data.sets.gather(data.offered[contexts])
        known = (data.creatives, [row[contexts] for row in index.features], np.diff(starts), action)
        score = _add_terms(policy, policy, *known)
        variances = _add_terms(policy, policy.variances, *known) if policy.variances else None
        chances = distribute(score, variances, np.diff(starts), policy.temperature, policy.floor, new[action])
        yield ProbabilityBatch(rows, index.context[rows] - start, starts, action, chances)


def _split_evenly(sizes: Int64Array, limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of contexts with about `limit` candidates."""
    part = np.cumsum(sizes) // limit
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(sizes)]
    yield from pairwise(bounds)


def _add_terms(
    policy: Policy,
    terms: Policy | Variances,
    creatives: tuple[str, ...],
    rows: list[Int64Array],
    sizes: Int64Array,
    action: IntegerArray,
) -> Float64Array:
    """Return sums of terms in contexts with `sizes` candidates (candidates,); rows are the features' (contexts,)."""
    known = {creative: i for i, creative in enumerate(policy.creatives)}
    column = np.array([known.get(creative, -1) for creative in creatives], np.int64)[action]
    score: AnyArray = np.where(column < 0, terms.prior[-1], terms.bias[column]).astype(float)
    for row, weights in zip(rows, terms.weights, strict=True):
        score += np.where(column < 0, 0.0, weights[row.repeat(sizes), column])
    return score
