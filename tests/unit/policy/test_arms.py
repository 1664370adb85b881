"""The arms of experiments in the policy's report."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from adloom.evaluation.metric import Table
from adloom.policy.arms import HEADER, build_arms_table


def rows(arm: str, users: Sequence[str | None], probability: float = 0.5, clicks: int = 0) -> pd.DataFrame:
    """Return impressions of an arm, the first ones clicked."""
    own = {"user_id": users, "clicked": [i < clicks for i in range(len(users))]}
    return pd.DataFrame({**own, "experiment": "autumn", "arm": arm, "arm_probability": probability})


def read(table: Table | None) -> list[dict[str, Any]]:
    assert table
    return [dict(zip(HEADER, row, strict=True)) for row in table.rows]


def test_users_impressions_and_clicks_of_each_arm_are_counted_over_chunks() -> None:
    first = pd.concat([rows("champion", ["a", "b", "a", None], clicks=2), rows("challenger", ["c"])])
    second = pd.concat([rows("champion", ["a", None]), rows("champion", ["x"]).assign(experiment=None)])
    challenger, champion = read(build_arms_table([first, second]))
    assert champion == {
        "arm": "autumn: champion",
        "users": 4,  # a, b, and two without a name
        "share of users": "80.0%",
        "planned": "50.0%",
        "impressions": 6,
        "clicks per 1,000": 333.333,
        "sample-ratio p-value": "0.981",
    }
    assert (challenger["users"], challenger["impressions"]) == (1, 1)


def test_planned_shares_are_those_among_the_arms_that_show_ads() -> None:
    """An arm of 20 % without ads has no impressions."""
    users = [f"u{i}" for i in range(1000)]
    table = read(build_arms_table([rows("a", users[:750], 0.6), rows("b", users[750:], 0.2)]))
    assert [row["planned"] for row in table] == ["75.0%", "25.0%"]
    assert float(table[0]["sample-ratio p-value"]) > 0.5


def test_a_lost_part_of_an_arm_is_visible() -> None:
    users = [f"u{i}" for i in range(1000)]
    table = read(build_arms_table([rows("a", users[:600]), rows("b", users[600:])]))
    assert {row["sample-ratio p-value"] for row in table} == {table[0]["sample-ratio p-value"]}
    assert float(table[0]["sample-ratio p-value"]) < 0.001


def test_changed_shares_and_a_single_arm_are_not_tested() -> None:
    changed = read(build_arms_table([rows("a", ["a"], 0.5), rows("a", ["b"], 0.9), rows("b", ["c"], 0.1)]))
    assert {row["sample-ratio p-value"] for row in changed} == {"not tested: shares changed"}
    [alone] = read(build_arms_table([rows("a", ["a", "b"])]))
    assert alone["sample-ratio p-value"] == "not tested: one arm"


def test_a_log_without_an_experiment_has_no_table() -> None:
    def chunks() -> Iterator[pd.DataFrame]:
        yield rows("a", ["a"]).assign(experiment=None, arm=None, arm_probability=None)

    assert build_arms_table(chunks()) is None
