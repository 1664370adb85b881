"""Exact search for the reference creatives most similar to pictures, by the cosine of their embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adloom.arrays import Float32Array, Int64Array
from adloom.serving.models.loader import ReferenceEmbeddings

GROUPS = 512  # of creatives; only groups with the highest maxima are searched


class Neighbours(NamedTuple):
    """Reference creatives, the most similar one first."""

    row: Int64Array  # of ReferenceEmbeddings
    similarity: Float32Array


def find_nearest(embeddings: Float32Array, known: ReferenceEmbeddings, counts: Sequence[int]) -> list[Neighbours]:
    """Return for each of the embeddings as many reference creatives as its count says; the first one of equals."""
    similarity = known.embedding @ embeddings.T  # (creatives, pictures): faster than its transpose
    if not len(similarity):
        return [Neighbours(np.empty(0, np.int64), column) for column in similarity.T]
    maxima = _group_maxima(similarity)
    return [_select(*columns) for columns in zip(similarity.T, maxima.T, counts, strict=True)]


def _group_maxima(similarity: Float32Array) -> Float32Array:
    """Return maxima (groups, pictures) of similarities (creatives, pictures); each GROUPS-th row is in one group."""
    rows, pictures = similarity.shape
    groups = min(GROUPS, rows)
    rest = rows % groups
    maxima: Float32Array = similarity[: rows - rest].reshape(-1, groups, pictures).max(axis=0)
    np.maximum(maxima[:rest], similarity[rows - rest :], out=maxima[:rest])
    return maxima


def _select(similarity: Float32Array, maxima: Float32Array, count: int) -> Neighbours:
    """Return the `count` highest of the similarities (creatives,), found in the groups with the highest maxima."""
    if not count:
        return Neighbours(np.empty(0, np.int64), similarity[:0])
    index = (np.arange(0, len(similarity), len(maxima))[:, None] + _highest(maxima, count)).ravel()
    index = index[index < len(similarity)]
    index = index[_highest(similarity[index], count)]
    index = index[np.argsort(-similarity[index], kind="stable")[:count]]
    return Neighbours(index, similarity[index])


def _highest(values: Float32Array, count: int) -> Int64Array:
    """Return the positions, ascending, of the `count` highest values and of all that equal the lowest of them."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, -count)[-count])
