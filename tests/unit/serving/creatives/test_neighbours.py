"""The search for neighbours against sorting all similarities."""

import numpy as np
import pytest

from adloom.serving.creatives.neighbours import GROUPS, find_nearest
from adloom.serving.models.loader import ReferenceEmbeddings


def reference(embedding: object) -> ReferenceEmbeddings:
    rows = np.asarray(embedding, np.float32)
    names = np.array([f"creative-{i}" for i in range(len(rows))], np.str_)
    return ReferenceEmbeddings(names, names, rows)


@pytest.mark.parametrize("creatives", [0, 1, 7, GROUPS - 1, GROUPS, GROUPS + 1, 2 * GROUPS, 5000])
@pytest.mark.parametrize("counts", [[0, 1, 3, 20], [3] * 12])
@pytest.mark.parametrize("values", [2, 1000])  # of few values many are equal
def test_the_most_similar_of_many_and_the_first_of_equals(creatives: int, counts: list[int], values: int) -> None:
    similarity = np.random.default_rng(5).integers(-values, values, (creatives, len(counts))).astype(np.float32)
    nearest = find_nearest(np.eye(len(counts), dtype=np.float32), reference(similarity), counts)
    for column, count, neighbours in zip(similarity.T, counts, nearest, strict=True):
        expected = np.argsort(-column, kind="stable")[:count]
        assert neighbours.row.tolist() == expected.tolist()
        assert neighbours.similarity.tolist() == column[expected].tolist()


def test_the_similarity_is_the_cosine() -> None:
    known = reference([[1, 0], [0.6, 0.8], [-1, 0]])
    (neighbours,) = find_nearest(np.array([[0.8, 0.6]], np.float32), known, [3])
    assert neighbours.row.tolist() == [1, 0, 2]
    assert neighbours.similarity.tolist() == pytest.approx([0.96, 0.8, -0.8])
