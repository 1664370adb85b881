"""Guidance: a category is pushed away from what is likely without it."""

import numpy as np
import pytest

from adloom.sequences.guidance import guide, normalize

CATEGORY, NONE = np.log([[0.8, 0.2]]), np.log([[0.5, 0.5]])


@pytest.mark.parametrize(("strength", "odds"), [(1, 16), (2, 64)])
def test_odds_against_no_category_grow_with_the_strength(strength: float, odds: float) -> None:
    logits = np.concatenate([CATEGORY + 7, CATEGORY, NONE - 3]).astype(np.float32)  # a shift changes no probability
    guided = guide(logits, np.array([0]), np.array([strength]))
    assert np.exp(guided[:, 0] - guided[:, 1]) == pytest.approx([odds, 4], rel=1e-4)


def test_probabilities_sum_to_1_also_for_large_logits() -> None:
    logits = np.array([[1e4, 1e4], [0, -1e4]], np.float32)
    assert np.exp(normalize(logits)) == pytest.approx(np.array([[0.5, 0.5], [1, 0]]))
