"""Outcomes as rewards: which of them count, and how large values are capped."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from tests.support.impression_tables import START, impressions_frame

from adloom.errors import DataError
from adloom.policy.impressions import ExclusionCounts, Impressions, read_impressions
from adloom.policy.rewards import RewardRule, find_known_outcomes, find_value_cap, read_outcome, share_above

HOUR = pd.Timedelta(hours=1)
SHOP = impressions_frame(
    creative_id=["a", "b", "a", "b"],
    hours=[0, 1, 2, 3],
    clicked=[True, True, False, True],
    outcome=[0.5, 1.5, None, 3.5],
    conversions=[1, 2, 0, 1],
    value=[30, 70, None, 50],
    complaints=[0, 0, 1, None],
    conversion_at=START + pd.to_timedelta([1, 9, None, None], unit="h"),
)


def read(rule: RewardRule, maturity_hours: float = 2) -> tuple[Impressions, ExclusionCounts]:
    later = SHOP.tail(1).assign(timestamp=START + 100 * HOUR, impression_id="last")  # immature: sets the time
    return read_impressions(lambda columns: [SHOP, later], timedelta(hours=maturity_hours), rule)


@pytest.mark.parametrize(
    ("kind", "rewards", "late"),
    [("click", [1, 1, 0, 1], 0), ("conversion", [1, 0, 0, 1], 1), ("value", [30, 0, 0, 50], 1)],
)
def test_an_outcome_counts_if_it_came_within_the_window(kind: str, rewards: list[float], late: int) -> None:
    data, counts = read(RewardRule(kind))
    assert data.reward.tolist() == rewards
    assert (data.kind, counts.late) == (kind, late)  # the last conversion has the time of the first outcome


def test_the_window_may_be_shorter_than_the_maturity() -> None:
    data, counts = read(RewardRule("click", timedelta(minutes=20)))
    assert data.reward.tolist() == [0, 0, 0, 0]
    assert counts.late == 3
    with pytest.raises(DataError, match="window: 0 days 03:00:00; expected 0 <= window <= maturity"):
        read(RewardRule("click", timedelta(hours=3)))


def test_guardrails_are_the_other_outcomes_that_a_table_has() -> None:
    data, _ = read(RewardRule("value", guardrails=True))
    outcomes = {name: values.tolist() for name, values in data.outcomes.items()}
    assert outcomes == {"click": [1, 1, 0, 1], "complaint": [0, 0, 1, 0], "conversion": [1, 0, 0, 1]}
    assert data.select(slice(2, 4)).with_reward("complaint").reward.tolist() == [1, 0]
    assert read(RewardRule("value"))[0].outcomes == {}


def test_outcomes_of_some_chunks_are_none_in_the_others() -> None:
    first, last = impressions_frame(["a", "b"]), impressions_frame(["a", "b"], hours=[5, 6], complaints=[1, 0], cost=2)
    data, _ = read_impressions(lambda columns: [first, last], timedelta(0), RewardRule(guardrails=True))
    assert data.outcomes["complaint"].tolist() == [0, 0, 1, 0]
    assert data.outcomes["cost"].tolist() == [0, 0, 2, 2]


def test_a_reward_that_no_impression_has_is_refused() -> None:
    rows = impressions_frame(["a", "b"])
    with pytest.raises(DataError, match="no values of conversions in single impressions, which train_policy.reward"):
        read_impressions(lambda columns: [rows], timedelta(0), RewardRule("conversion"))
    lines = impressions_frame(["a", "b"], weight=[100, 50], conversions=[7, None], clicked=[True, False])
    assert find_known_outcomes(lines) == {"click"}


def test_a_conversion_counts_once_however_often_it_came() -> None:
    assert read_outcome(SHOP, "conversion", 99 * HOUR)[0].tolist() == [1, 1, 0, 1]


def test_large_values_count_as_the_cap() -> None:
    values = np.array([0.0, *range(1, 101), 5000.0])
    cap = find_value_cap(values)
    assert cap == 100  # the 100th of 101
    data = read(RewardRule("value"))[0].cap_values(40.0)
    assert data.reward.tolist() == [0.75, 0, 0, 1]
    assert data.unit == 40
    assert share_above(np.array([30.0, 50.0]), np.ones(2), 40.0) == pytest.approx(10 / 80)
    assert find_value_cap(np.zeros(3)) == 1
