"""New creatives are scored by what they show and say."""

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, crossed_tastes, repeat_impressions

from adloom.policy import models
from adloom.policy.cold_start import add_cold_start, extend
from adloom.policy.content_model import Contents
from adloom.policy.fit import fit_linear
from adloom.policy.models import Categories
from adloom.policy.scorer import Policy, ScoringRequest

KNOWN = [f"c{i:02}" for i in range(20)]
BAGS = Categories(("bags",), dict.fromkeys(KNOWN, "bags"))


def contents(**features: list[float]) -> Contents:
    return Contents(np.array(list(features)), np.full(len(features), "bags"), np.array(list(features.values())))


@pytest.fixture(scope="module")
def policy() -> Policy:
    """A policy of creatives of which every second is clicked twice as often."""
    counts = {("x", name): (2000, 100 if i % 2 else 200) for i, name in enumerate(KNOWN)}
    return models.fit_rates(repeat_impressions(counts), BAGS)


SHOWN = {name: [float(i % 2 == 0), 1.0] for i, name in enumerate(KNOWN)}


def test_a_new_creative_is_scored_like_those_with_its_content(policy: Policy) -> None:
    """Ridge regression keeps 5 / (5 + 1): centred content has squares of 20 / 4 in all, the least penalty is 1."""
    wider = add_cold_start(policy, contents(**SHOWN, poor=[0.0, 1.0], good=[1.0, 1.0], between=[0.5, 1.0]))
    assert wider.creatives == (*KNOWN, "between", "good", "poor")
    scores = wider.scorer.scores([ScoringRequest({"placement": "x"}, wider.creatives)])
    score = dict(zip(wider.creatives, scores, strict=True))
    assert score["good"] - score["poor"] == pytest.approx(5 / 6 * (policy.bias[0] - policy.bias[1]), rel=0.01)
    assert score["between"] == pytest.approx(policy.prior[0], abs=1e-6)
    before, after = (p.scorer.scores([ScoringRequest({"placement": "x"}, KNOWN)]) for p in (policy, wider))
    np.testing.assert_array_equal(before, after)


def test_a_saved_policy_scores_creatives_that_come_later(
    policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("policy") / "policy.npz"
    add_cold_start(policy, contents(**SHOWN)).save(path)
    later = contents(good=[1.0, 1.0])
    extended = extend(Policy.load(path), later)
    expected = add_cold_start(policy, contents(**SHOWN, good=[1.0, 1.0]))
    assert extended.creatives == expected.creatives
    np.testing.assert_array_equal(extended.bias, expected.bias)
    assert extend(policy, later) is policy  # without a model of content


def test_a_scorer_takes_creatives_in_as_a_policy_does(policy: Policy) -> None:
    trained = add_cold_start(policy, contents(**SHOWN))
    later = contents(c00=[0.0, 1.0], good=[1.0, 1.0], poor=[0.0, 1.0])
    asked = [ScoringRequest({"placement": "x"}, ["good", "c00", "nobody", "poor"], {"nobody": "bags", "good": "bags"})]
    scores = trained.scorer.extend(later).scores(asked)
    np.testing.assert_array_equal(scores, extend(trained, later).scorer.scores(asked))
    assert scores[0] > scores[2] > scores[3]
    assert policy.scorer.extend(later) is policy.scorer  # without a model of content


def test_contents_of_other_creatives_than_the_logs_teach_nothing() -> None:
    policy = models.fit_rates(repeat_impressions({("x", "a"): (20, 2), ("x", "b"): (20, 1)}), NO_CATEGORIES)
    assert add_cold_start(policy, contents(other=[1.0, 0.0])) is policy
    few = add_cold_start(policy, contents(a=[1.0, 0.0], b=[0.0, 1.0], other=[1.0, 0.0]))
    assert few.bias[few.creatives.index("other")] == few.prior[0]


def test_a_new_creative_pleases_those_whom_its_category_pleases() -> None:
    """Phones click bags, tablets click hats: so it is with a new bag, without a word about its content."""
    data = crossed_tastes()
    categories = Categories(("bags", "hats"), {"a": "bags", "b": "hats", "c": "hats"})
    policy = fit_linear(data, categories, 1.0).to_policy(data)
    wider = add_cold_start(policy, Contents(np.array(["a", "bag"]), np.array(["bags", "bags"]), np.zeros((2, 1))))
    assert (policy.new, wider.new) == (0, 1)
    for each, categories_of in ((policy, {"bag": "bags"}), (wider, {})):
        phone, tablet = (
            each.probabilities({"placement": "top", "ctx_device": device}, ["bag", "b"], categories_of)
            for device in ("phone", "tablet")
        )
        assert phone[0] > 0.7
        assert tablet[0] < 0.3
