"""Matrix factorisation of implicit feedback."""

import numpy as np
import pytest
from tests.support.item_events import interact

from adloom.config.recommendation import Factors
from adloom.recommendation.factorization import ItemFactors, _compute_gram, _solve

PARAMS = Factors(factors=2, iterations=10, alpha=4, regularization=0.1)


def test_the_factors_of_a_user_minimise_the_weighted_squares() -> None:
    """With one factor: (1 + alpha) (1 - 2 x)^2 + (0 - 1 x)^2 + regularization x^2 is least at x = 10 / 21.5."""
    item = np.array([[2.0], [1.0]])
    x = _solve(item[:1], _compute_gram(item, 0.5), alpha=4.0)
    assert x == pytest.approx([5 * 2 / (5 * 4 + 1 + 0.5)])


def test_users_get_the_items_of_their_group_and_bytes_repeat() -> None:
    groups = {f"u{n}": [f"{'ab'[n % 2]}{k}" for k in range(6) if k != n % 5] for n in range(20)}
    interactions = interact(groups)
    fitted, again = (ItemFactors.fit(interactions, PARAMS, seed=1) for _ in range(2))
    assert fitted.factor.tobytes() == again.factor.tobytes()
    scores = fitted.score([np.array([0, 1], np.int32), np.array([6, 7], np.int32)])
    assert scores[0, :6].min() > scores[0, 6:].max() + 0.3
    assert scores[1, 6:].min() > scores[1, :6].max() + 0.3


def test_one_user_with_one_item() -> None:
    fitted = ItemFactors.fit(interact({"u1": ["a"]}), PARAMS, seed=1)
    assert np.isfinite(fitted.score([np.array([0], np.int32)])).all()
