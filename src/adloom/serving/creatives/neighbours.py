"""Exact search for the reference creatives most similar to pictures, by the cosine of their whitened embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adloom.arrays import Float32Array, Int64Array
from adloom.serving.models.loader import ReferenceEmbeddings

GROUPS = 512  # of creatives; only groups with the highest maxima are searched
COLUMNS = 16  # OpenBLAS multiplies by 16 columns in less time than by 9 to 15


class Neighbours(NamedTuple):
    """Reference creatives, the most similar one first."""

    row: Int64Array  # of ReferenceEmbeddings
    similarity: Float32Array


def find_nearest(embeddings: Float32Array, known: ReferenceEmbeddings, counts: Sequence[int]) -> list[Neighbours]:
    """Return for each whitened embedding as many reference creatives as its count says; the first one of equals."""
    most = min(max(counts), len(known.embedding))
    if not most:
        return [Neighbours(np.empty(0, np.int64), np.empty(0, np.float32))] * len(counts)
    row, picture, similarity = _find_candidates(_group_similarities(embeddings, known), most)
    order = np.lexsort((row, -similarity, picture))
    starts = np.searchsorted(picture[order], np.arange(len(counts)))
    chosen = [order[start : start + min(count, most)] for start, count in zip(starts, counts, strict=True)]
    return [Neighbours(row[index], similarity[index]) for index in chosen]


def _group_similarities(embeddings: Float32Array, known: ReferenceEmbeddings) -> Float32Array:
    """Return similarities (level, group, picture) of the rows level * groups + group, -inf behind the last row."""
    rows, pictures = len(known.embedding), len(embeddings)
    groups = min(GROUPS, rows)
    columns = COLUMNS if COLUMNS // 2 < pictures < COLUMNS else pictures
    similarity = np.empty((-(-rows // groups) * groups, columns), np.float32)
    padded = np.pad(embeddings, ((0, columns - pictures), (0, 0)))
    np.matmul(known.embedding, padded.T, out=similarity[:rows])  # faster than its transpose
    similarity[rows:] = -np.inf
    return similarity.reshape(-1, groups, columns)[:, :, :pictures]


def _find_candidates(similarity: Float32Array, most: int) -> tuple[Int64Array, Int64Array, Float32Array]:
    """Return row, picture and similarity of at least the `most` highest similarities of each picture, and equals."""
    maxima = similarity.max(axis=0).T  # (picture, group)
    lowest = np.partition(maxima, -most)[:, -most]  # of `most` values, so the `most` highest are not below it
    picture, group = np.nonzero(maxima >= lowest[:, None])
    values = similarity[:, group, picture]
    level, column = np.nonzero(values >= lowest[picture])
    return level * similarity.shape[1] + group[column], picture[column], values[level, column]
