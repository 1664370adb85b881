"""Item-kNN, by hand."""

import numpy as np
import pytest
from tests.support.item_events import interact

from adloom.recommendation.item_neighbours import MAX_ITEMS, SHRINKAGE, TIE, ItemNeighbours

SHARE = np.zeros(3, np.float32)


def test_similarities_by_hand() -> None:
    interactions = interact({"u1": ["a", "b"], "u2": ["a", "b", "c"], "u3": ["c"]})
    fitted = ItemNeighbours.fit(interactions, SHARE, neighbours=2)
    both, one = 2 / (2**0.5 * 2**0.5 + SHRINKAGE), 1 / (2**0.5 * 2**0.5 + SHRINKAGE)  # every item has two users
    assert fitted.neighbour.tolist() == [[1, 2], [0, 2], [0, 1]]  # c: a and b are equal, by number
    assert fitted.similarity == pytest.approx(np.array([[both, one], [both, one], [one, one]]))
    assert fitted.score([np.array([0]), np.array([0, 1, 1])]) == pytest.approx(
        np.array([[0, both, one], [both, both, 2 * one]])
    )


def test_popularity_breaks_ties() -> None:
    fitted = ItemNeighbours.fit(interact({"u1": ["a"], "u2": ["b"], "u3": ["c"]}), np.array([0.1, 0.3, 0.2]), 2)
    assert fitted.similarity.tolist() == [[0, 0]] * 3
    assert fitted.score([np.array([0])])[0] == pytest.approx(np.array([0.1, 0.3, 0.2]) * TIE)


def test_the_items_of_a_user_with_very_many_are_not_all_alike() -> None:
    interactions = interact({"bot": [f"i{number:04}" for number in range(MAX_ITEMS + 1)]})
    fitted = ItemNeighbours.fit(interactions, np.zeros(MAX_ITEMS + 1, np.float32), 1)
    assert fitted.similarity[:, 0].tolist()[0] == 0  # of the first item
    assert fitted.similarity[1:, 0].min() > 0
