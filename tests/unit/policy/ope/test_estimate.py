"""Trust: one log for every reason an interval is not to be believed."""

import numpy as np
import pytest

from adloom.arrays import AnyArray
from adloom.policy.ope.estimate import (
    effective_events,
    effective_sample_size,
    find_reliability_issue,
    heavy_events,
    top_share,
)

EVEN = np.ones(1000)


def spiked(rows: int, spikes: int, height: float) -> AnyArray:
    """Return weights with mean 1, a few of them high."""
    weight = np.full(rows, (rows - spikes * height) / (rows - spikes))
    weight[:spikes] = height
    return weight


def test_effective_sample_by_hand() -> None:
    assert effective_sample_size(np.array([2.0, 1.0, 1.0, 0.0])) == pytest.approx(16 / 6)
    assert effective_events(np.array([2.0, 1.0, 1.0, 0.0]), 3) == pytest.approx(2.0)
    assert heavy_events(np.array([2.0, 1.0, 1.0, 0.0]), 2) == pytest.approx(36 / 18 / 2)
    assert effective_sample_size(np.zeros(3)) == 0


def test_the_share_of_the_heaviest_rows() -> None:
    assert top_share(EVEN) == pytest.approx(0.01)
    assert top_share(np.array([3.0] + [1.0] * 97)) == pytest.approx(0.03)  # 1 % of 98 rows, rounded up
    assert top_share(np.zeros(5)) == 0


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
    assert find_reliability_issue(weight, rewarded, unsupported) == why


def test_chance_does_not_look_like_wrong_propensities() -> None:
    rng = np.random.default_rng(0)
    weights = rng.exponential(1.0, (2000, 500))  # of mean 1
    assert not any("mean weight" in find_reliability_issue(weight, 500) for weight in weights)
