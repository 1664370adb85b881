"""New creatives are scored by similar pictures."""

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, repeat_impressions

from adloom.policy import models
from adloom.policy.cold_start import Pictures, add_cold_start
from adloom.policy.models import Categories
from adloom.policy.scorer import ScoringRequest


def pictures(**embeddings: list[float]) -> Pictures:
    vectors = np.array(list(embeddings.values()), np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Pictures(np.array(list(embeddings)), np.full(len(unit), "bags"), unit)


def test_a_new_picture_is_scored_by_those_like_it() -> None:
    data = repeat_impressions({("x", "a"): (2000, 200), ("x", "b"): (2000, 100)})
    policy = models.fit_rates(data, Categories(("bags",), {"a": "bags", "b": "bags"}))
    wider = add_cold_start(
        policy, pictures(a=[1, 0], b=[0, 1], like_a=[1, 0], like_b=[0, 1], between=[1, 1], opposite=[-1, -1])
    )
    assert wider.creatives == ("a", "b", "between", "like_a", "like_b", "opposite")
    scores = wider.scorer.scores([ScoringRequest({"placement": "x"}, wider.creatives)])
    score = dict(zip(wider.creatives, scores, strict=True))
    assert score["like_a"] > score["between"] > score["like_b"]
    assert score["like_a"] == pytest.approx((policy.bias[0] + policy.prior[0]) / 2)  # one neighbour against one prior
    assert score["opposite"] == pytest.approx(policy.prior[0])
    before, after = (p.scorer.scores([ScoringRequest({"placement": "x"}, ["a", "b"])]) for p in (policy, wider))
    np.testing.assert_array_equal(before, after)


def test_pictures_of_other_creatives_than_the_logs_teach_nothing() -> None:
    policy = models.fit_rates(repeat_impressions({("x", "a"): (20, 2), ("x", "b"): (20, 1)}), NO_CATEGORIES)
    assert add_cold_start(policy, pictures(other=[1, 0])) is policy
    assert add_cold_start(policy, pictures(a=[1, 0])) is policy
