"""The sample-ratio test: rarely wrong at all looks together, and certain about real deviations."""

import numpy as np
import pytest

from adloom.experiments.sample_ratio import MISMATCH, sample_ratio_p_value

SHARES = np.array([0.8, 0.15, 0.05])


def test_a_p_value_by_hand() -> None:
    """Two arms of 50 %, 3 users of the first: the prior Beta(50, 50) gives 50·51·52 / (100·101·102), the plan 1/8."""
    expected = (1 / 8) / (50 * 51 * 52 / (100 * 101 * 102))
    assert sample_ratio_p_value(np.array([3, 0]), np.array([0.5, 0.5])) == pytest.approx(expected)


def test_without_users_there_is_no_evidence() -> None:
    assert sample_ratio_p_value(np.zeros(3), SHARES) == 1


def test_planned_shares_raise_no_alarm_at_any_of_many_looks() -> None:
    """Of 1,000 experiments with 50 looks each, fewer than 5 may ever fall below 0.001 (the limit allows 1)."""
    rng = np.random.default_rng(1)
    looks = rng.multinomial(200, SHARES, size=(1000, 50)).cumsum(1)
    alarms = sum(any(sample_ratio_p_value(counts, SHARES) < MISMATCH for counts in each) for each in looks[:, ::5])
    assert alarms < 5


def test_a_lost_fifth_of_an_arm_is_found() -> None:
    assert sample_ratio_p_value(np.array([8000, 1200, 500]), SHARES) < MISMATCH
