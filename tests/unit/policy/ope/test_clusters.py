"""Impressions and users of rows."""

import numpy as np
import pytest

from adloom.policy.ope.clusters import Clusters

CLUSTERS = Clusters(np.array([1.0, 2.0, 1.0, 3.0]), np.array([0, 0, 4, -1]))
VALUES = np.array([1.0, 2.0, -1.0, 0.5])


def test_sums_by_hand() -> None:
    assert CLUSTERS.total == 7
    assert CLUSTERS.mean(VALUES) == pytest.approx(5.5 / 7)
    assert CLUSTERS.sum_by_user(VALUES).tolist() == [5, 0, 0, 0, -1]
    assert CLUSTERS.power_sums(VALUES) == pytest.approx((25 + 1 + 3 * 0.25, 125 - 1 + 3 * 0.125))
    assert CLUSTERS.count() == 2 + 3  # two users, and three impressions of unknown ones


def test_the_share_of_one_user_by_hand() -> None:
    assert CLUSTERS.count_rewarded(np.array([1.0, 0.0, 1.0, 1.0])) == 5
    assert CLUSTERS.largest_share(np.array([0.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 6)
    assert CLUSTERS.largest_share(np.zeros(4)) == 0


def test_the_design_effect_is_the_size_of_equal_clusters() -> None:
    assert Clusters(np.ones(6), np.array([0, 0, 0, 1, 1, 1])).design_effect(np.array([1.0, 1, 1, 0, 0, 0])) == 3
    assert Clusters(np.ones(2), np.array([0, 0])).design_effect(np.array([1.0, 0])) == 1
    assert Clusters.single(6).design_effect(np.zeros(6)) == 1
