"""Purchases and value after a day, per user and per segment, without refunds."""

import numpy as np
import pandas as pd
from tests.support.toy_shops import events

from adloom.audience.assignment import SUPPRESSED
from adloom.audience.outcomes import measure_outcomes, tabulate_outcomes
from adloom.config.params import Evaluate
from adloom.storage.table_scan import hold_rows

START = pd.Timestamp("2026-01-01", tz="UTC")
USERS = pd.Series(["ann", "bob", "cid"])
ROWS = events(
    [
        ("ann", "2025-12-31", 99.0),
        ("ann", "2026-01-01", 10.1),
        ("ann", "2026-02-01", 20.2),
        ("bob", "2026-02-01", 5.0),
        ("dan", "2026-02-01", 7.0),
        ("bob", "2026-02-02", -5.0),
    ]
).assign(event=["purchase"] * 5 + ["refund"])


def test_purchases_count_from_the_start_and_refunds_are_subtracted() -> None:
    outcomes = measure_outcomes(USERS, hold_rows(ROWS), START, "purchase")
    assert outcomes.purchases.tolist() == [2, 1, 0]
    assert outcomes.value is not None
    assert outcomes.value.tolist() == [30.3, 0, 0]


def test_segments_have_means_with_intervals() -> None:
    outcomes = measure_outcomes(USERS, hold_rows(ROWS), START, "purchase")
    table = tabulate_outcomes(outcomes, np.array([0, 0, 2]), ("a", "b", "c"), Evaluate(bootstraps=50))
    assert table.header == ["segment", "customers", "purchases per customer", "value per customer"]
    assert table.rows[0][:2] == ["a", 2]
    assert str(table.rows[0][3]).startswith("15.15 (")
    assert table.rows[1] == ["c", 1, "0.00 (0.00 to 0.00)", "0.00 (0.00 to 0.00)"]


def test_users_of_suppressed_segments_have_no_row() -> None:
    outcomes = measure_outcomes(USERS, hold_rows(ROWS), START, "purchase")
    table = tabulate_outcomes(outcomes, np.array([0, 0, 1]), ("a", SUPPRESSED), Evaluate(bootstraps=50))
    assert [row[0] for row in table.rows] == ["a"]


def test_events_without_values_have_conversions_alone() -> None:
    without = hold_rows(ROWS.assign(value=np.nan).drop(columns="value"))
    assert measure_outcomes(USERS, without, START, "purchase").value is None
    table = tabulate_outcomes(measure_outcomes(USERS, without, START, "purchase"), np.zeros(3, int), ("a",), Evaluate())
    assert table.header[-1] == "purchases per customer"
