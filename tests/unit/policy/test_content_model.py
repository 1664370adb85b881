"""A model of content learns what differs within a category, and nothing from noise."""

import numpy as np
import pytest

from adloom.policy.content_model import TEXT_BUCKETS, join_features
from adloom.policy.fit import fit_content

RANDOM = np.random.default_rng(5)


def test_it_learns_from_content_what_the_category_does_not_explain() -> None:
    category = np.repeat([0, 1], 30)
    features = RANDOM.normal(size=(60, 3)) + 5 * category[:, None]  # categories differ more than their creatives
    means = np.array([features[category == i, 0].mean() for i in (0, 1)])
    model = fit_content(category, features, 0.4 * (features[:, 0] - means[category]), 2)
    better, worse = np.array([[1.0, 0, 0]]), np.zeros((1, 3))
    gain = model.score(np.zeros(1, np.int64), better) - model.score(np.zeros(1, np.int64), worse)
    np.testing.assert_allclose(gain, 0.4, rtol=0.02)


def test_noise_teaches_next_to_nothing() -> None:
    category, features = np.zeros(200, np.int64), RANDOM.normal(size=(200, 40))
    excess = RANDOM.normal(size=200)
    model = fit_content(category, features, excess, 1)
    assert np.var(model.score(category, RANDOM.normal(size=(200, 40)))) < 0.1 * np.var(excess)


def test_an_unknown_category_is_compared_with_all_creatives() -> None:
    features = np.arange(20.0).reshape(20, 1)
    model = fit_content(np.zeros(20, np.int64), features, features[:, 0] - 9.5, 1)
    np.testing.assert_allclose(model.score(np.ones(1, np.int64), np.array([[9.5]])), 0, atol=1e-9)


def test_texts_have_equal_features_when_their_words_are_equal() -> None:
    embedding = np.ones((4, 2))
    features = join_features(embedding, ["Soft wool", "wool, soft!", "", "Silk"])
    words = features[:, 2:-1]
    assert features.shape == (4, 2 + TEXT_BUCKETS + 1)
    np.testing.assert_array_equal(words[0], words[1])
    assert (words[0] != words[3]).any()
    np.testing.assert_allclose((words**2).sum(1), [1 / 4, 1 / 4, 0, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(features[:, -1], [9 / 50, 11 / 50, 0, 4 / 50], rtol=1e-6)


def test_an_unknown_sentence_is_like_the_average_of_its_category() -> None:
    sentences = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), None]
    features = join_features(np.zeros((3, 0)), ["wool"] * 3, sentences)
    shown = np.array([0, 1] * 10 + [2])
    category, excess = np.zeros(len(shown), np.int64), np.array([0.5, -0.5] * 10 + [0.0])
    model = fit_content(category, features[shown], excess, 1)
    good, poor, unknown = model.score(category[:3], features)
    assert good == pytest.approx(-poor, rel=1e-6)
    assert good > 0.4
    assert unknown == pytest.approx(0, abs=1e-6)
    without = join_features(np.zeros((1, 0)), ["wool"])  # contents from where no encoder is
    assert model.score(category[:1], without) == pytest.approx([0], abs=1e-6)


@pytest.mark.parametrize("creatives", [8, 30, 100])
def test_random_texts_teach_next_to_nothing(creatives: int) -> None:
    """Penalties below 1 fitted the noise of unit vectors exactly, and misled new creatives."""
    rng = np.random.default_rng(creatives)
    features = rng.normal(size=(creatives + 200, 64))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    category, excess = np.zeros(len(features), np.int64), rng.normal(size=creatives)
    model = fit_content(category[:creatives], features[:creatives], excess, 1)
    assert np.var(model.score(category[creatives:], features[creatives:])) < 0.3 * np.var(excess)
