"""Features by hand, and their independence of order, engine and time zone."""

import time

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_shops import CUT, events

from adloom.audience.features import build_expression, compute_features, to_matrix
from adloom.audience.segmenter import FEATURES
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
    assert to_matrix(users).tolist()[:2] == [
        [30.5, 1, 5.0, 30.5, pytest.approx(np.nan, nan_ok=True)],
        [1.0, 3, 30.4, 21.0, 10.0],
    ]
    assert to_matrix(users)[2, 1:3].tolist() == [1, 0.0]  # an order without a value still counts


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
    assert to_matrix(users).shape == (0, 5)


def test_a_value_too_large_to_add_up_is_refused() -> None:
    with pytest.raises(DataError, match=r"^events: value 1e\+40, expected below 1e\+15; check the unit of `value`$"):
        compute_features(hold_rows(events([("a", "2025-12-01", 1e40)])), CUT, "purchase")


@pytest.mark.slow
def test_purchases_after_2038_have_the_right_age() -> None:
    late = pd.Timestamp("2100-01-11", tz="UTC")
    assert to_matrix(compute_features(hold_rows(events([("a", "2100-01-01", 1.0)])), late, "purchase"))[0, 0] == 10


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
    assert to_matrix(shuffled).tobytes() == to_matrix(compute_features(hold_rows(rows), CUT, "purchase")).tobytes()


@pytest.mark.parametrize("engine", ["duckdb", "trino", "postgres", "bigquery"])
def test_the_expressions_are_not_those_of_one_engine(engine: str) -> None:
    columns = {"user_id": "string", "timestamp": "timestamp", "value": "float64", "bought": "boolean"}
    table = ibis.table(columns, name="purchases")
    sql = ibis.to_sql(build_expression(table, CUT), dialect=engine)
    assert all(name in sql for name in FEATURES)
