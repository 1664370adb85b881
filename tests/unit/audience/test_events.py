"""Answers about events, by hand."""

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.toy_shops import CUT, events

from adloom.audience.events import describe_later, find_currency, find_period, find_segment_values, list_kinds
from adloom.errors import DataError
from adloom.storage.table_scan import hold_rows


def test_the_period_is_from_midnight_to_midnight() -> None:
    rows = [("a", "2025-12-31T23:59:59.999999", 1.0), ("b", "2025-12-30T23:00:00-05:00", 1.0)]
    assert find_period(hold_rows(events(rows))) == (pd.Timestamp("2025-12-31", tz="UTC"), CUT)


def describe(rows: pd.DataFrame) -> pd.DataFrame:
    later: pd.DataFrame = describe_later(hold_rows(rows), CUT, "purchase").order_by("user_id").to_pyarrow().to_pandas()
    return later


def test_purchases_count_from_the_start_and_refunds_are_subtracted() -> None:
    rows = events(
        [
            ("a", "2025-12-31T23:59:59", 99.0),
            ("a", "2026-01-01", 10.1),
            ("a", "2026-02-01", 20.2),
            ("b", "2026-02-01", 5.0),
            ("b", "2026-02-02", -5.0),
            ("c", "2026-02-01", 9.0),
        ]
    ).assign(event=["purchase"] * 4 + ["refund", "view"])
    later = describe(rows)
    assert later["purchases"].tolist() == [2, 1, 0]
    assert later["value"].tolist() == [30.3, 0, 0]
    assert later["valued"].tolist() == [2, 2, 0]
    assert list_kinds(hold_rows(rows)) == ["purchase", "refund", "view"]
    without = describe(rows.drop(columns="value"))
    assert (without["purchases"].tolist(), without["valued"].tolist()) == ([2, 1, 0], [0, 0, 0])


def test_half_a_is_learnt_from() -> None:
    rows = events([("a", "2026-01-01", 9.0), ("b", "2026-01-01", 9.0)]).assign(half=["a", "b"])
    assert describe(rows)["learn"].tolist() == [True, False]


def test_the_values_of_a_segment_are_those_of_its_users() -> None:
    rows = events([("a", "2025-01-01", 1.0), ("a", "2025-01-02", 1.0), ("b", "2025-01-01", 1.0)])
    table = hold_rows(rows.assign(item_id=["x", "y", "x"]))
    users = ibis.memtable(pa.table({"user_id": ["a", "b"], "segment": [0, 1]}))
    segment, codes = find_segment_values(users, table, "item_id")
    assert sorted(zip(segment.tolist(), codes.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]


def test_the_currency_is_that_of_the_values() -> None:
    rows = events([("a", "2026-01-01", 9.0), ("b", "2026-01-01", 8.0), ("c", "2026-01-01", None)])
    assert find_currency(hold_rows(rows)) is None
    assert find_currency(hold_rows(rows.assign(currency=pd.Series([None] * 3, dtype="str")))) is None
    assert find_currency(hold_rows(rows.assign(currency=["EUR", "EUR", "USD"]))) == "EUR"
    with pytest.raises(DataError, match=r"^events: values in EUR, USD, expected one currency; set prepare\.currency"):
        find_currency(hold_rows(rows.assign(currency=["EUR", "USD", "USD"])))
