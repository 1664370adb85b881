"""Popularity, overall and in a segment."""

import numpy as np
import pytest
from tests.support.item_events import interact

from adloom.recommendation.popularity import PRIOR, Popularity


def test_a_user_counts_once_and_a_segment_leans_on_all() -> None:
    interactions = interact({"u1": ["a"] * 100, "u2": ["a", "b"], "u3": ["b"], "u4": ["b", "c"]})
    fitted = Popularity.fit(interactions, ["old", None, "new", "new"])
    assert fitted.share == pytest.approx([0.5, 0.75, 0.25])
    assert fitted.segments.tolist() == ["new", "old"]
    expected = [(own + PRIOR * share) / (2 + PRIOR) for own, share in zip((0, 2, 1), (0.5, 0.75, 0.25), strict=True)]
    assert fitted.score_segment("new") == pytest.approx(expected)
    assert fitted.score_segment("unheard of") is fitted.score_segment(None) is fitted.share
    assert fitted.score([np.array([1])] * 2).tolist() == [fitted.share.tolist()] * 2


def test_no_segments() -> None:
    fitted = Popularity.fit(interact({"u1": ["a"]}))
    assert (fitted.share.tolist(), fitted.of_segment.shape) == ([1.0], (0, 1))
