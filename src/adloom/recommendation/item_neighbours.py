"""Item-kNN: items that the same users have (Sarwar et al. 2001)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from adloom.arrays import Float32Array, Int32Array, Int64Array
from adloom.recommendation.interactions import Interactions

SHRINKAGE = 10  # added to the denominator of the cosine, so that items of few users are less similar
TIE = 1e-6  # weight of the popularity among items that no neighbour names
BLOCK = 1000  # items whose neighbours are found at once
MAX_ITEMS = 500  # of a user, the last ones: a user with very many would tie all of them together


@dataclass(frozen=True)
class ItemNeighbours:
    """The neighbours of each item with their similarities."""

    neighbour: Int32Array  # (items, neighbours)
    similarity: Float32Array  # (items, neighbours), 0 for padding
    share: Float32Array  # (items,): popularity

    @classmethod
    def fit(cls, interactions: Interactions, share: Float32Array, neighbours: int) -> Self:
        """Find the neighbours of each item; ties go to the smaller number."""
        matrix = _drop_long(interactions).to_matrix()
        norm = np.sqrt(np.asarray(matrix.sum(axis=0), np.float64)[0])
        items = len(norm)
        neighbour = np.zeros((items, neighbours), np.int32)
        similarity = np.zeros((items, neighbours), np.float32)
        columns = matrix.T.tocsr()
        for start in range(0, items, BLOCK):
            together = (columns[start : start + BLOCK] @ matrix).tocsr()
            together.sort_indices()
            for offset in range(together.shape[0]):
                item = start + offset
                others, values = _find_nearest(together, offset, item, norm, neighbours)
                neighbour[item, : len(others)], similarity[item, : len(others)] = others, values
        return cls(neighbour, similarity, share)

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the sums of the similarities to the items of each history (histories, items)."""
        scores = np.tile(self.share * np.float32(TIE), (len(histories), 1))
        for row, history in enumerate(histories):
            known = np.unique(history[-MAX_ITEMS:])
            np.add.at(scores[row], self.neighbour[known].ravel(), self.similarity[known].ravel())
        return scores

    def to_arrays(self) -> Mapping[str, Int32Array | Float32Array]:
        """Return the arrays of a file."""
        return {"neighbour": self.neighbour, "similarity": self.similarity}


def _drop_long(interactions: Interactions) -> Interactions:
    """Return the last MAX_ITEMS events of each user."""
    from_end = np.repeat(interactions.starts[1:], np.diff(interactions.starts)) - np.arange(len(interactions.item))
    return interactions.keep(from_end <= MAX_ITEMS)


def _find_nearest(
    together: Any, row: int, item: int, norm: np.ndarray, neighbours: int
) -> tuple[Int64Array, Float32Array]:
    """Return the most similar items of one item, and their similarities."""
    cells = slice(together.indptr[row], together.indptr[row + 1])
    others, users = together.indices[cells], together.data[cells].astype(np.float64)
    others, users = others[others != item], users[others != item]
    similarity = users / (norm[item] * norm[others] + SHRINKAGE)
    order = np.argsort(-similarity, kind="stable")[:neighbours]
    return others[order], similarity[order].astype(np.float32)
