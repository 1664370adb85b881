"""The linear model."""

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, crossed_tastes, read_frame

from adloom.policy import fit
from adloom.policy.models import Categories


def test_the_linear_model_learns_whom_a_creative_is_for() -> None:
    data = crossed_tastes()
    policy = fit.fit_linear(data, NO_CATEGORIES, 1.0).to_policy(data)
    phone = policy.probabilities({"placement": "top", "ctx_device": "phone"}, ["a", "b", "c"])
    tablet = policy.probabilities({"placement": "top", "ctx_device": "tablet"}, ["a", "b", "c"])
    odds = (0.4 / 0.6) / (0.1 / 0.9)  # at temperature 1 the shares are the odds of a click
    assert phone[0] / phone[2] == pytest.approx(odds, rel=0.2)
    assert tablet[1] / tablet[2] == pytest.approx(odds, rel=0.2)
    assert phone[1] / phone[2] == pytest.approx(1, rel=0.25)


def test_a_stronger_penalty_is_nearer_to_all_alike() -> None:
    data = crossed_tastes()
    spread = [
        np.ptp(fit.fit_linear(data, NO_CATEGORIES, penalty).to_policy(data).weights[1])
        for penalty in (0.001, 0.01, 1.0)
    ]
    assert spread == sorted(spread)
    assert spread[0] < 0.25
    assert spread[2] > 1


def test_the_loss_is_that_of_the_probabilities() -> None:
    data = crossed_tastes()
    surprise = fit.fit_linear(data, NO_CATEGORIES, 1.0).log_loss(crossed_tastes(seed=1))
    truth = -np.mean([q * np.log(p) + (1 - q) * np.log(1 - p) for p in (0.4, 0.1, 0.1) for q in [p]])
    assert surprise == pytest.approx(truth, rel=0.05)


def test_the_categories_of_creatives_are_learnt_too() -> None:
    data = crossed_tastes()
    categories = Categories(("good", "bad"), {"a": "good", "b": "good", "c": "bad"})
    policy = fit.fit_linear(data, categories, 0.1).to_policy(data)
    assert policy.prior[0] > policy.prior[2] > policy.prior[1]
    assert policy.category.tolist() == [0, 0, 1]


def test_the_same_data_gives_the_same_arrays() -> None:
    one, other = (fit.fit_linear(crossed_tastes(), NO_CATEGORIES, 0.3).to_policy(crossed_tastes()) for _ in range(2))
    assert one.bias.tobytes() == other.bias.tobytes()
    assert [w.tobytes() for w in one.weights] == [w.tobytes() for w in other.weights]


def test_variances_are_those_of_the_information_in_the_clicks() -> None:
    data = read_frame(creative_id=["a"] * 50 + ["b"] * 50, clicked=[True, False] * 50)
    sampled = fit.fit_linear(data, NO_CATEGORIES, 0.5).estimate_variances(data)
    item = 1 / (1 / 0.5 + 50 / 4)  # 50 impressions of each creative at a click rate of a half
    group = 1 / (1 / 0.5 + 100 / 4)
    assert sampled.bias == pytest.approx([item + group] * 2, rel=1e-3)
    assert sampled.weights[0][1] == pytest.approx([item + group] * 2, rel=1e-3)  # the placement that has data
    assert sampled.prior == pytest.approx([group + 2 * 0.5], rel=1e-3)
