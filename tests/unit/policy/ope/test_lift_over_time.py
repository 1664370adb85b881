"""The lift of a policy as its log grows."""

import numpy as np
import pytest

from adloom.arrays import AnyArray, DatetimeArray
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.lift_over_time import POINTS, LiftPoint, trace_lift

RATE = np.array([0.05, 0.15])


def minutes(count: int) -> DatetimeArray:
    return np.arange(count) * np.timedelta64(1, "m") + np.datetime64("2026-01-01", "us")


def trace(action: AnyArray, reward: AnyArray, target: AnyArray) -> list[LiftPoint]:
    rows = len(action)
    return trace_lift(reward, np.full(rows, 0.5), target[action], minutes(rows), Clusters.single(rows))


def draw_log(rng: np.random.Generator, rows: int) -> tuple[AnyArray, AnyArray]:
    """Return the actions of even decisions, and their clicks."""
    action = rng.integers(2, size=rows)
    return action, (rng.random(rows) < RATE[action]).astype(float)


def test_points_are_means_of_the_rows_so_far() -> None:
    action, reward = np.tile([0, 1], POINTS), np.tile([0.0, 1.0], POINTS)
    points = trace(action, reward, np.array([0.25, 0.75]))  # a click on the second is worth 1.5 - 1
    assert [point.value for point in points] == pytest.approx([0.25] * POINTS)
    assert [point.time for point in points] == minutes(2 * POINTS)[1::2].tolist()


@pytest.mark.slow
def test_intervals_shrink_and_contain_the_true_lift_at_all_points_together() -> None:
    target, rng, misses = np.array([0.1, 0.9]), np.random.default_rng(1), 0
    truth = float((target - 0.5) @ RATE)
    for _ in range(20):
        points = trace(*draw_log(rng, 2000), target)
        misses += any(not point.low <= truth <= point.high for point in points)
        assert points[-1].high - points[-1].low < points[0].high - points[0].low
    assert misses <= 1


def test_the_policy_of_the_log_has_no_lift() -> None:
    points = trace(*draw_log(np.random.default_rng(2), 400), np.array([0.5, 0.5]))
    assert {point.value for point in points} == {0.0}
    assert all(point.low <= 0 <= point.high for point in points)


def test_a_log_of_few_rows_has_a_point_per_row() -> None:
    assert len(trace(np.array([0, 1, 1]), np.array([0.0, 1.0, 0.0]), np.array([0.4, 0.6]))) == 3
