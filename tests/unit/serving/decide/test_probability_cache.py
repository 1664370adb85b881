"""The cache is bounded, and the estimate follows the latency."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.serving.decide.probability_cache import LatencyEstimator, ProbabilityCache


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=60))
def test_the_cache_is_bounded_and_keeps_the_latest_probabilities(puts: list[tuple[int, int]]) -> None:
    cache = ProbabilityCache(size=40)
    for number, (question, count) in enumerate(puts):
        cache.put(question, np.arange(count, dtype=np.float64) + 100 * number)
        assert sum(map(len, itertools.chain(cache._young.values(), cache._old.values()))) <= 40
    latest = {question: (number, count) for number, (question, count) in enumerate(puts)}
    for question, _ in puts[-2:]:
        number, count = latest[question]
        cached = cache.get(question, count)
        assert cached is not None
        assert cached.tolist() == (np.arange(count) + 100 * number).tolist()
        assert cache.get(question, count + 1) is None  # the question has other candidates now


def test_the_cache_evicts_the_oldest_questions() -> None:
    cache = ProbabilityCache(size=40)
    for question in range(9):
        cache.put(question, np.full(5, float(question)))
    assert [cache.get(question, 5) is not None for question in range(9)] == [False] * 4 + [True] * 5


def test_the_estimate_follows_the_latency() -> None:
    estimator = LatencyEstimator()
    for _ in range(100):
        estimator.observe(50, 0.004)
    assert estimator.estimate(50) == pytest.approx(0.004, rel=1e-3)
    assert estimator.estimate(40) == estimator.estimate(63)
    assert estimator.estimate(1000) == 0
