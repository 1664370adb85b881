"""The policies that compete: numbers worked by hand, one scale, one scorer."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.impression_tables import frame

from adloom.policy import fit, models
from adloom.policy.batch import compute_probabilities
from adloom.policy.cold_start import Pictures, add_cold_start
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.scorer import SEPARATOR, Policy, ScoringRequest

NONE = Categories()
AT_ONCE = timedelta(0)


def log(**columns: Any) -> Impressions:
    rows = frame(**columns)
    return read_impressions(rows, [None] * len(rows), AT_ONCE)[0]


def repeated(shown: dict[tuple[str, str], tuple[int, int]]) -> Impressions:
    """Impressions of {(placement, creative): (impressions, clicks)}."""
    rows = [(*pair, i < clicks) for pair, (count, clicks) in shown.items() for i in range(count)]
    placement, creative, clicked = zip(*rows, strict=True)
    return log(placement=placement, creative_id=creative, clicked=clicked)


def crossed(seed: int = 0, rows: int = 4000, **columns: Any) -> Impressions:
    """Phones click a, tablets click b; c is clicked by nobody."""
    rng = np.random.default_rng(seed)
    device, creative = rng.choice(["phone", "tablet"], rows), rng.choice(["a", "b", "c"], rows)
    liked = ((device == "phone") & (creative == "a")) | ((device == "tablet") & (creative == "b"))
    clicked = rng.random(rows) < np.where(liked, 0.4, 0.1)
    return log(creative_id=creative, clicked=clicked, ctx_device=device, propensity=1 / 3, **columns)


def test_uniform_shows_all_alike() -> None:
    data = log(creative_id=["a", "b", "c"], placement=["x", "x", "y"])
    assert compute_probabilities(models.fit_uniform(data, NONE), data).tolist() == [
        [0.5, 0.5, 0],
        [0.5, 0.5, 0],
        [0, 0, 1],
    ]


def test_the_logging_policy_is_what_the_log_did_with_one_impression_more_of_each() -> None:
    data = repeated({("x", "a"): (7, 1), ("x", "b"): (1, 0), ("y", "b"): (3, 0), ("y", "c"): (1, 0)})
    shown = compute_probabilities(models.fit_logging(data, NONE), data)
    np.testing.assert_allclose(shown[0], [8 / 10, 2 / 10, 0], rtol=1e-6)
    np.testing.assert_allclose(shown[-1], [0, 4 / 6, 2 / 6], rtol=1e-6)


def test_what_is_new_to_the_logging_policy_is_shown_as_often_as_the_average() -> None:
    policy = models.fit_logging(repeated({("x", "a"): (5, 1), ("x", "b"): (1, 0)}), NONE)
    odds = np.array(policy.probabilities({"placement": "x"}, ["a", "b", "new"]))
    np.testing.assert_allclose(odds / odds[2], [6 / 4, 2 / 4, 1], rtol=1e-6)


def test_rates_without_a_difference_are_all_alike_in_a_placement() -> None:
    data = repeated({("x", "a"): (1000, 100), ("x", "b"): (500, 50), ("y", "b"): (400, 4), ("y", "c"): (400, 4)})
    policy = models.fit_rates(data, NONE)
    np.testing.assert_allclose(policy.probabilities({"placement": "x"}, ["a", "b"]), 0.5, atol=1e-3)
    np.testing.assert_allclose(policy.probabilities({"placement": "y"}, ["b", "c"]), 0.5, atol=1e-3)


def test_rates_of_many_impressions_are_their_own_and_of_few_are_drawn_to_the_mean() -> None:
    data = repeated({("x", "a"): (2000, 200), ("x", "b"): (2000, 100), ("x", "c"): (4, 1), ("x", "d"): (2000, 50)})
    a, b, c, d = models.fit_rates(data, NONE).probabilities({"placement": "x"}, ["a", "b", "c", "d"])
    assert a / b == pytest.approx(2, rel=0.05)
    assert b / d == pytest.approx(2, rel=0.05)
    assert d < c < a  # a quarter of four is no evidence of 25 %


def test_a_new_creative_has_the_rate_of_its_category() -> None:
    data = repeated({("x", "a"): (2000, 200), ("x", "b"): (2000, 200), ("x", "c"): (2000, 50), ("x", "d"): (2000, 50)})
    categories = Categories(("bags", "hats"), {"a": "bags", "b": "bags", "c": "hats", "d": "hats"})
    policy = models.fit_rates(data, categories)
    asked = ["a", "c", "new bag", "new hat", "new"]
    a, c, bag, hat, other = policy.probabilities({"placement": "x"}, asked, {"new bag": "bags", "new hat": "hats"})
    assert bag == pytest.approx(a, rel=0.05)
    assert hat == pytest.approx(c, rel=0.05)
    assert c < other < a


def test_the_linear_model_learns_whom_a_creative_is_for() -> None:
    data = crossed()
    policy = fit.fit_linear(data, NONE, 1.0).to_policy(data)
    phone = policy.probabilities({"placement": "top", "ctx_device": "phone"}, ["a", "b", "c"])
    tablet = policy.probabilities({"placement": "top", "ctx_device": "tablet"}, ["a", "b", "c"])
    odds = (0.4 / 0.6) / (0.1 / 0.9)  # at temperature 1 the shares are the odds of a click
    assert phone[0] / phone[2] == pytest.approx(odds, rel=0.2)
    assert tablet[1] / tablet[2] == pytest.approx(odds, rel=0.2)
    assert phone[1] / phone[2] == pytest.approx(1, rel=0.25)


def test_a_stronger_penalty_is_nearer_to_all_alike() -> None:
    data = crossed()
    spread = [np.ptp(fit.fit_linear(data, NONE, penalty).to_policy(data).weights[1]) for penalty in (0.001, 0.01, 1.0)]
    assert spread == sorted(spread)
    assert spread[0] < 0.25
    assert spread[2] > 1


def test_the_loss_is_that_of_the_probabilities() -> None:
    data = crossed()
    surprise = fit.fit_linear(data, NONE, 1.0).log_loss(crossed(seed=1))
    truth = -np.mean([q * np.log(p) + (1 - q) * np.log(1 - p) for p in (0.4, 0.1, 0.1) for q in [p]])
    assert surprise == pytest.approx(truth, rel=0.05)


def test_the_categories_of_creatives_are_learnt_too() -> None:
    data = crossed()
    categories = Categories(("good", "bad"), {"a": "good", "b": "good", "c": "bad"})
    policy = fit.fit_linear(data, categories, 0.1).to_policy(data)
    assert policy.prior[0] > policy.prior[2] > policy.prior[1]
    assert policy.category.tolist() == [0, 0, 1]


def test_the_same_data_gives_the_same_arrays() -> None:
    one, other = (fit.fit_linear(crossed(), NONE, 0.3).to_policy(crossed()) for _ in range(2))
    assert one.bias.tobytes() == other.bias.tobytes()
    assert [w.tobytes() for w in one.weights] == [w.tobytes() for w in other.weights]


def test_features_are_the_columns_there_are_and_rare_values_are_unknown() -> None:
    data = log(
        creative_id=["a", "b"] * 500, placement=["x"] * 500 + ["y"] * 500, position=[1, 2] * 500,
        ctx_device=["watch", *["phone"] * 999],
    )  # fmt: skip
    space = FeatureSpace.from_impressions(data)
    assert space.features == (("placement",), ("ctx_device",), ("placement", "position"))
    assert space.values[:2] == (("x", "y"), ("phone",))
    assert space.values[2] == tuple(SEPARATOR.join(pair) for pair in ("x1", "x2", "y1", "y2"))
    assert [rows[0].item() for rows in space.row_indices(data.context)] == [1, 0, 1]


names = st.sampled_from(["x", "y", "z", ""])


@given(
    st.lists(st.tuples(names, names, st.sampled_from("abc")), min_size=2, max_size=30),
    st.sampled_from([0.0, 0.01, 0.2, 0.6]),
    st.integers(0, 99),
)
def test_many_at_once_are_what_they_are_one_by_one(rows: list[tuple[str, str, str]], floor: float, seed: int) -> None:
    placement, device, creative = zip(*rows, strict=True)
    data = log(placement=[p or "none" for p in placement], ctx_device=[d or None for d in device], creative_id=creative)
    rng = np.random.default_rng(seed)
    space = FeatureSpace(
        (("placement",), ("placement", "ctx_device")), (("x", "y"), (f"x{SEPARATOR}y", f"y{SEPARATOR}y"))
    )
    known = ("a", "c", "q")
    tables = (floats(rng, 3, 3), floats(rng, 3, 3))
    policy = Policy(
        known, np.array([0, 1, 1]), ("bags",), floats(rng, 3), space.features, space.values, tables, floats(rng, 2),
        temperature=0.5, floor=floor,
    )  # fmt: skip
    found = compute_probabilities(policy, data)
    for i in range(len(data)):
        offered = data.sets[data.offered[i]]
        context = {name: values[i] or None for name, values in data.context.items()}
        single = policy.probabilities(context, [data.creatives[j] for j in offered])
        np.testing.assert_allclose(found[i, offered], single, rtol=1e-9)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0, 2, shape).astype(np.float32)


def pictures(**embeddings: list[float]) -> Pictures:
    vectors = np.array(list(embeddings.values()), np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Pictures(np.array(list(embeddings)), np.full(len(unit), "bags"), unit)


def test_a_new_picture_is_scored_by_those_like_it() -> None:
    data = repeated({("x", "a"): (2000, 200), ("x", "b"): (2000, 100)})
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
    policy = models.fit_rates(repeated({("x", "a"): (20, 2), ("x", "b"): (20, 1)}), NONE)
    assert add_cold_start(policy, pictures(other=[1, 0])) is policy
    assert add_cold_start(policy, pictures(a=[1, 0])) is policy


def test_temperature_and_floor_are_the_scorers() -> None:
    data = repeated({("x", "a"): (2000, 200), ("x", "b"): (2000, 100)})
    bold = replace(models.fit_rates(data, NONE), temperature=0.1, floor=0.05)
    assert compute_probabilities(bold, data)[0].tolist() == pytest.approx([0.95, 0.05], abs=0.005)
