"""Answers about events, by hand."""

import pandas as pd
from tests.support.toy_shops import CUT, events

from adloom.audience.events import find_buyers, find_learning_users, find_period, list_kinds
from adloom.storage.table_scan import hold_rows


def test_the_period_is_from_midnight_to_midnight() -> None:
    rows = [("a", "2025-12-31T23:59:59.999999", 1.0), ("b", "2025-12-30T23:00:00-05:00", 1.0)]
    assert find_period(hold_rows(events(rows))) == (pd.Timestamp("2025-12-31", tz="UTC"), CUT)


def test_buyers_are_users_who_purchase_from_the_start() -> None:
    rows = events([("a", "2026-01-01", 9.0), ("b", "2025-12-31T23:59:59", 9.0), ("c", "2026-02-01", 9.0)])
    rows.loc[2, "event"] = "view"
    users = pd.Series(["a", "b", "c"])
    assert find_buyers(users, hold_rows(rows), CUT, "purchase").tolist() == [True, False, False]
    assert list_kinds(hold_rows(rows)) == ["purchase", "view"]


def test_half_a_is_learnt_from() -> None:
    rows = events([("a", "2026-01-01", 9.0), ("b", "2026-01-01", 9.0)]).assign(half=["a", "b"])
    assert find_learning_users(pd.Series(["b", "a", "c"]), hold_rows(rows)).tolist() == [False, True, False]
