"""Trust: one log for every reason an interval is not to be believed."""

import numpy as np
import pytest

from adloom.arrays import AnyArray
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import (
    effective_events,
    effective_sample_size,
    find_reliability_issue,
    heavy_events,
    top_share,
)

EVEN = np.ones(1000)
FOUR = Clusters.single(4)


def rewards(rewarded: int) -> AnyArray:
    return (np.arange(1000) < rewarded).astype(float)


def spiked(rows: int, spikes: int, height: float) -> AnyArray:
    """Return weights with mean 1, a few of them high."""
    weight = np.full(rows, (rows - spikes * height) / (rows - spikes))
    weight[:spikes] = height
    return weight


def test_effective_sample_by_hand() -> None:
    assert effective_sample_size(np.array([2.0, 1.0, 1.0, 0.0]), FOUR) == pytest.approx(16 / 6)
    assert effective_events(np.array([2.0, 1.0, 1.0, 0.0]), 3, FOUR) == pytest.approx(2.0)
    assert heavy_events(np.array([2.0, 1.0, 1.0, 0.0]), 2, FOUR) == pytest.approx(36 / 18 / 2)
    assert effective_sample_size(np.zeros(4), FOUR) == 0


def test_the_share_of_the_heaviest_rows() -> None:
    assert top_share(EVEN, Clusters.single(1000)) == pytest.approx(0.01)
    assert top_share(np.array([3.0] + [1.0] * 97), Clusters.single(98)) == pytest.approx(
        0.03
    )  # 1 % of 98 rows, rounded up
    assert top_share(np.zeros(4), FOUR) == 0


@pytest.mark.parametrize(
    ("weight", "rewarded", "unsupported", "why"),
    [
        (EVEN, 5, 0.0, ""),
        (EVEN, 4, 0.0, "the effective sample holds 4.0 rewarded rows, expected at least 5"),
        (EVEN, 0, 0.0, "the effective sample holds 0.0 rewarded rows, expected at least 5"),
        (EVEN, 50, 0.01, ""),
        (EVEN, 50, 0.02, "2.0% of the policy's probability is on actions that are not in the log"),
        (
            0.9 * EVEN,
            50,
            0.0,
            "the mean weight is 0.900, expected 1: propensities are wrong or actions are missing in the log",
        ),
        (spiked(1000, 2, 30.0), 50, 0.0, "the heaviest weights have about 0.2 rewarded rows, expected at least 1.5"),
        (spiked(1000, 100, 3.0), 50, 0.0, ""),
    ],
)
def test_reasons(weight: AnyArray, rewarded: int, unsupported: float, why: str) -> None:
    assert find_reliability_issue(weight, rewards(rewarded), unsupported) == why


def test_chance_does_not_look_like_wrong_propensities() -> None:
    rng = np.random.default_rng(0)
    weights = rng.exponential(1.0, (2000, 500))  # of mean 1
    assert not any("mean weight" in find_reliability_issue(weight, np.ones(500)) for weight in weights)


def test_weighted_rows_are_as_many_rows() -> None:
    weight, counts = np.array([2.0, 1.0, 0.5]), np.array([3, 40, 90])
    heavy, many = Clusters(counts.astype(float), np.full(3, -1)), np.repeat(weight, counts)
    single = Clusters.single(133)
    assert effective_sample_size(weight, heavy) == pytest.approx(effective_sample_size(many, single))
    assert top_share(weight, heavy) == pytest.approx(top_share(many, single)) == pytest.approx(4 / 91)


@pytest.mark.parametrize(
    ("clicks", "why"), [(10, ""), (11, "one user has 22% of the rewarded rows, expected at most 20%")]
)
def test_one_user_with_many_of_the_clicks_is_named(clicks: int, why: str) -> None:
    users = np.where(np.arange(1000) < clicks, 7, np.arange(1000))
    assert find_reliability_issue(EVEN, rewards(50), 0.0, Clusters(EVEN, users)) == why
