"""Features by hand, and their independence of order, engine and time zone."""

import time
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_shops import CUT, compute_features, events

from adloom.audience.features import build_features
from adloom.audience.segmenter import FEATURES
from adloom.audience.user_totals import build_totals, sum_events
from adloom.errors import DataError
from adloom.storage.table_scan import hold_rows

THREE = [
    ("b", "2025-12-31", 10.10),
    ("a", "2025-12-01T12:00", 5.0),
    ("b", "2025-12-21", 20.20),
    ("c", "2025-06-01", None),
    ("b", "2025-12-11", 0.1),
]


@pytest.mark.slow
def test_features_of_three_users_by_hand() -> None:
    users = compute_features(hold_rows(events(THREE)), CUT, "purchase")
    assert list(users["user_id"]) == ["a", "b", "c"]
    assert users[list(FEATURES)].to_numpy().tolist()[:2] == [
        [30.5, 1, 5.0, 30.5, pytest.approx(np.nan, nan_ok=True)],
        [1.0, 3, 30.4, 21.0, 10.0],
    ]
    assert users[["frequency", "monetary"]].iloc[2].tolist() == [1, 0.0]  # an order without a value still counts


def test_other_events_and_later_ones_do_not_count() -> None:
    rows = events([*THREE, ("a", "2026-01-01", 9.0), ("d", "2025-12-01", 9.0)])
    rows.loc[rows["user_id"] == "d", "event"] = "view"
    pd.testing.assert_frame_equal(
        compute_features(hold_rows(rows), CUT, "purchase"),
        compute_features(hold_rows(events(THREE)), CUT, "purchase"),
    )
    assert compute_features(hold_rows(rows), CUT, "view")["user_id"].tolist() == ["d"]


def test_refunds_reduce_what_users_paid() -> None:
    refunds = events([("b", "2025-12-31T06:00", -0.4), ("c", "2025-12-30", -7.0), ("d", "2025-12-30", -7.0)])
    rows = pd.concat([events(THREE), refunds.assign(event="refund")])
    expected = compute_features(hold_rows(events(THREE)), CUT, "purchase").assign(monetary=[5.0, 30.0, 0.0])
    pd.testing.assert_frame_equal(compute_features(hold_rows(rows), CUT, "purchase"), expected)


def test_a_table_without_values_counts_purchases_only() -> None:
    users = compute_features(hold_rows(events(THREE).drop(columns="value")), CUT, "purchase")
    assert users["monetary"].tolist() == [0.0, 0.0, 0.0]
    assert users["frequency"].tolist() == [1, 3, 1]


def test_no_users_give_no_rows() -> None:
    users = compute_features(hold_rows(events(THREE)), CUT, "order")
    assert users.empty


def test_a_value_too_large_to_add_up_is_refused() -> None:
    with pytest.raises(DataError, match=r"^events: value 1e\+40, expected below 9e\+12; check the unit of `value`$"):
        compute_features(hold_rows(events([("a", "2025-12-01", 1e40)])), CUT, "purchase")


@pytest.mark.slow
def test_purchases_after_2038_have_the_right_age() -> None:
    late = pd.Timestamp("2100-01-11", tz="UTC")
    users = compute_features(hold_rows(events([("a", "2100-01-01", 1.0)])), late, "purchase")
    assert users["recency_days"].tolist() == [10]


@pytest.mark.slow
def test_the_time_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = compute_features(hold_rows(events(THREE)), CUT, "purchase")
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        pd.testing.assert_frame_equal(compute_features(hold_rows(events(THREE)), CUT, "purchase"), expected)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(40)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    rows = events([(f"{i % 4}", f"2025-12-{1 + i % 28:02}", float(v)) for i, v in enumerate(rng.exponential(9, 40))])
    shuffled = compute_features(hold_rows(rows.iloc[order]), CUT, "purchase")
    expected = compute_features(hold_rows(rows), CUT, "purchase")
    pd.testing.assert_frame_equal(shuffled, expected, check_exact=True)


@pytest.fixture
def all_features() -> dict[str, dict[str, Any]]:
    """Return all features by user; "view" is an exposure."""
    rows = [
        ("a", "2025-12-01T05:00", "purchase", 4.0, "hat"),  # a Monday
        ("a", "2025-12-03T05:00", "purchase", 2.0, "bag"),
        ("a", "2025-12-03T06:00", "refund", -4.0, "hat"),
        ("a", "2025-12-09T23:00", "purchase", 6.0, "shoe"),
        ("a", "2025-12-10T00:00", "view", 1.0, "hat"),
        ("b", "2025-12-31", "purchase", 1.0, "hat"),
        ("b", "2025-12-31", "purchase", 1.0, "bag"),
        ("b", "2025-12-31", "purchase", 1.0, None),
        ("b", "2026-01-01", "view", None, None),
    ]
    table = events([(user, time, value) for user, time, _, value, _ in rows])
    table = table.assign(event=[row[2] for row in rows], item_id=pd.Series([row[4] for row in rows], dtype="str"))
    features = build_features(sum_events(hold_rows(table), CUT, "purchase", "view"), CUT)
    return {row["user_id"]: row for row in features.to_pyarrow().to_pylist()}


def test_the_spread_is_the_deviation_of_the_days_between_purchases(all_features: dict[str, dict[str, Any]]) -> None:
    days = [2.0, 6.75]
    assert all_features["a"]["interpurchase_spread_days"] == pytest.approx(np.std(days, ddof=1), rel=1e-12)
    assert all_features["b"]["interpurchase_spread_days"] == 0.0


def test_hours_and_weekdays_are_shares_of_purchases(all_features: dict[str, dict[str, Any]]) -> None:
    user = {name: value for name, value in all_features["a"].items() if value and name.startswith(("hour", "week"))}
    assert user == {"hour_5": 2 / 3, "hour_23": 1 / 3, "weekday_0": 1 / 3, "weekday_1": 1 / 3, "weekday_2": 1 / 3}


def test_top_items_are_those_paid_most_for_net_of_refunds(all_features: dict[str, dict[str, Any]]) -> None:
    a, b = all_features["a"], all_features["b"]
    assert [a["top_item_1"], a["top_item_2"], a["top_item_3"]] == ["shoe", "bag", None]
    assert [a["top_item_1_share"], a["top_item_2_share"], a["top_item_3_share"]] == [0.75, 0.25, None]
    assert [b["top_item_1"], b["top_item_2"]] == ["bag", "hat"]  # of equal ones the first by name


def test_exposures_count_before_the_date_and_their_value_is_not_paid(all_features: dict[str, dict[str, Any]]) -> None:
    assert [all_features[user]["exposures"] for user in "ab"] == [1, 0]
    assert [all_features[user]["exposed"] for user in "ab"] == [True, False]
    assert all_features["a"]["monetary"] == 8.0


@pytest.mark.parametrize("engine", ["duckdb", "trino", "postgres", "bigquery", "snowflake"])
def test_the_expressions_are_not_those_of_one_engine(engine: str) -> None:
    columns = {"user_id": "string", "timestamp": "timestamp", "value": "float64", "item_id": "string"}
    table = ibis.table(columns | {"bought": "boolean", "exposed": "boolean"}, name="rows")
    sql = ibis.to_sql(build_features(build_totals(table), CUT), dialect=engine)
    assert all(name in sql for name in FEATURES)
