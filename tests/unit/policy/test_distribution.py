"""Probabilities from scores: by softmax and by Thompson sampling."""

import numpy as np
import pytest

from adloom.policy.distribution import distribute, softmax


def test_without_variances_it_is_the_softmax() -> None:
    score = np.log([1.0, 2.0, 5.0])
    assert distribute(score, None, [3], 0.5, 0.1) == pytest.approx(softmax(score, [3], 0.5, 0.1))
    assert softmax(score, [3]) == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_thompson_sampling_keeps_the_floor() -> None:
    best = distribute(np.array([100.0, 0.0, 0.0]), np.ones(3), [3], 1.0, 0.1)
    assert best == pytest.approx([0.8, 0.1, 0.1], abs=1e-6)
    assert distribute(np.array([100.0, 0.0]), np.ones(2), [2], 1.0, 0.6) == pytest.approx([0.5, 0.5])


def test_the_temperature_scales_the_deviations() -> None:
    score, variance = np.array([1.0, 0.0]), np.array([9.0, 16.0])
    sharp = distribute(score, variance, [2], 0.5, 0.0)
    assert sharp == pytest.approx(distribute(2 * score, variance, [2], 1.0, 0.0), abs=1e-4)
    assert sharp[0] == pytest.approx(0.6554217, abs=1e-3)  # the distribution function at 2 / 5


def test_a_new_candidate_has_a_quarter_of_an_even_share_at_least() -> None:
    score, new = np.array([5.0, 1.0, 0.0, 5.0, 0.0]), np.array([False, False, True, True, False])
    first, second = np.split(softmax(score, [3, 2], 0.1, 0.0, new), [3])
    assert first == pytest.approx([11 / 12, 0, 1 / 12])  # of a quarter of a third
    assert second == pytest.approx([1, 0])  # it wins anyway
    assert softmax(np.zeros(3), [3], 1.0, 0.0, np.array([True, False, False])) == pytest.approx([1 / 3] * 3)
    assert distribute(score[:3], None, [3], 0.1, 0.05, new[:3]) == pytest.approx(0.85 * first + 0.05)
