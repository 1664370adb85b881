"""Guidance: a category is pushed away from what is likely without it."""

import numpy as np
import pytest
from tests.support.toy_lines import words

from adloom.arrays import Float32Array, Int64Array
from adloom.sequences.guidance import Guided

WORDS = words()


class First:
    """A model that predicts by the first token alone; its state is that token."""

    def start(self, batch: int) -> Int64Array:
        return np.full(batch, -1)

    def __call__(self, token: Int64Array, state: Int64Array) -> tuple[Float32Array, Int64Array]:
        first = np.where(state < 0, token[:, 0], state)
        odds = np.where(first[:, None] == WORDS.begin, [0.5, 0.5], [0.8, 0.2])
        return np.repeat(np.log(odds).astype(np.float32)[:, None], token.shape[1], axis=1), first


@pytest.mark.parametrize(("strength", "odds"), [(0, 4), (1, 16), (2, 64)])
def test_odds_against_no_category_grow_with_the_strength(strength: float, odds: float) -> None:
    prefix = WORDS.prefix("Coats")
    guided = Guided(First(), prefix, WORDS.begin, strength)
    state = guided.start(3)
    for token in (prefix, 5):
        logits, state = guided(np.full((3, 1), token), state)
        assert logits.shape == (3, 1, 2)
        assert np.exp(logits[:, 0, 0] - logits[:, 0, 1]) == pytest.approx(odds, rel=1e-4)
