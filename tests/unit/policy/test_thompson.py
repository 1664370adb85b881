"""Probabilities of the highest score: worked by hand, and against draws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adloom.policy.thompson import ERROR, Variances, find_best

DRAWS = 100_000
CHANCE = 5 * 0.5 / math.sqrt(DRAWS)  # five standard errors of a share


def test_of_two_the_share_is_the_normal_distribution_of_the_difference() -> None:
    best = find_best(np.array([1.0, 0.0]), np.array([9.0, 16.0]), [2])
    assert best == pytest.approx([0.5792597, 0.4207403], abs=1e-3)  # the distribution function at 1 / 5


def test_a_certain_score_is_beaten_by_the_tail_of_an_uncertain_one() -> None:
    best = find_best(np.array([1.0, 0.0]), np.array([0.0, 1.0]), [2])
    assert best == pytest.approx([0.8413447, 0.1586553], abs=3e-3)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_equal_candidates_share_evenly(count: int) -> None:
    assert find_best(np.full(count, -3.0), np.full(count, 0.2), [count]) == pytest.approx(np.full(count, 1 / count))


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(0, 1))
def test_the_error_to_thompson_sampling_is_bounded(seed: int, count: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    score, deviation = rng.normal(0, 0.5, count), 0.3 * np.exp(rng.uniform(-2, 2, count) * spread)
    drawn = (score + deviation * rng.standard_normal((DRAWS, count))).argmax(1)
    share = np.bincount(drawn, minlength=count) / DRAWS
    assert np.abs(find_best(score, deviation**2, [count]) - share).max() < ERROR + CHANCE


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_request_has_the_same_bits_alone_and_among_others(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, variance = rng.normal(size=sum(counts)), rng.exponential(size=sum(counts))
    ends = np.cumsum(counts)
    alone = [find_best(score[e - n : e], variance[e - n : e], [n]) for n, e in zip(counts, ends, strict=True)]
    assert find_best(score, variance, counts).tobytes() == np.concatenate(alone).tobytes()


def test_a_new_creative_has_the_variance_of_its_category() -> None:
    known = Variances(np.ones(2, np.float32), (np.ones((3, 2), np.float32),), np.array([4, 9], np.float32))
    wider = known.append(np.array([1, 0]))
    assert wider.bias.tolist() == [1, 1, 9, 4]
    assert wider.weights[0].tolist() == [[1, 1, 0, 0]] * 3
