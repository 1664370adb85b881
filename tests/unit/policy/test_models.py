"""The policies that compete: numbers worked by hand, one scale, one scorer."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, dense_probabilities, read_frame, repeat_impressions

from adloom.policy import models
from adloom.policy.models import Categories


def test_uniform_shows_all_alike() -> None:
    data = read_frame(creative_id=["a", "b", "c"], placement=["x", "x", "y"])
    assert dense_probabilities(models.fit_uniform(data, NO_CATEGORIES), data).tolist() == [
        [0.5, 0.5, 0],
        [0.5, 0.5, 0],
        [0, 0, 1],
    ]


def test_the_logging_policy_has_the_frequencies_of_the_log_plus_one() -> None:
    data = repeat_impressions({("x", "a"): (7, 1), ("x", "b"): (1, 0), ("y", "b"): (3, 0), ("y", "c"): (1, 0)})
    shown = dense_probabilities(models.fit_logging(data, NO_CATEGORIES), data)
    np.testing.assert_allclose(shown[0], [8 / 10, 2 / 10, 0], rtol=1e-6)
    np.testing.assert_allclose(shown[-1], [0, 4 / 6, 2 / 6], rtol=1e-6)


def test_the_logging_policy_shows_new_creatives_at_the_average_rate() -> None:
    policy = models.fit_logging(repeat_impressions({("x", "a"): (5, 1), ("x", "b"): (1, 0)}), NO_CATEGORIES)
    odds = np.array(policy.probabilities({"placement": "x"}, ["a", "b", "new"]))
    np.testing.assert_allclose(odds / odds[2], [6 / 4, 2 / 4, 1], rtol=1e-6)


def test_rates_without_a_difference_are_all_alike_in_a_placement() -> None:
    data = repeat_impressions(
        {("x", "a"): (1000, 100), ("x", "b"): (500, 50), ("y", "b"): (400, 4), ("y", "c"): (400, 4)}
    )
    policy = models.fit_rates(data, NO_CATEGORIES)
    np.testing.assert_allclose(policy.probabilities({"placement": "x"}, ["a", "b"]), 0.5, atol=1e-3)
    np.testing.assert_allclose(policy.probabilities({"placement": "y"}, ["b", "c"]), 0.5, atol=1e-3)


def test_rates_of_many_impressions_are_their_own_and_of_few_are_drawn_to_the_mean() -> None:
    data = repeat_impressions(
        {("x", "a"): (2000, 200), ("x", "b"): (2000, 100), ("x", "c"): (4, 1), ("x", "d"): (2000, 50)}
    )
    a, b, c, d = models.fit_rates(data, NO_CATEGORIES).probabilities({"placement": "x"}, ["a", "b", "c", "d"])
    assert a / b == pytest.approx(2, rel=0.05)
    assert b / d == pytest.approx(2, rel=0.05)
    assert d < c < a  # a quarter of four is no evidence of 25 %


def test_a_new_creative_has_the_rate_of_its_category() -> None:
    data = repeat_impressions(
        {("x", "a"): (2000, 200), ("x", "b"): (2000, 200), ("x", "c"): (2000, 50), ("x", "d"): (2000, 50)}
    )
    categories = Categories(("bags", "hats"), {"a": "bags", "b": "bags", "c": "hats", "d": "hats"})
    policy = models.fit_rates(data, categories)
    request = ["a", "c", "new bag", "new hat", "new"]
    a, c, bag, hat, other = policy.probabilities({"placement": "x"}, request, {"new bag": "bags", "new hat": "hats"})
    assert bag == pytest.approx(a, rel=0.05)
    assert hat == pytest.approx(c, rel=0.05)
    assert c < other < a


def test_temperature_and_floor_are_the_scorers() -> None:
    data = repeat_impressions({("x", "a"): (2000, 200), ("x", "b"): (2000, 100)})
    bold = replace(models.fit_rates(data, NO_CATEGORIES), temperature=0.1, floor=0.05)
    assert dense_probabilities(bold, data)[0].tolist() == pytest.approx([0.95, 0.05], abs=0.005)
