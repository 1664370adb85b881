"""Refunds have a name and no positive value."""

import math

import pandas as pd
import pytest
from tests.support.raw_tables import EVENT, frame

from adloom.data import contracts
from adloom.data.refunds import mark_refunds


@pytest.mark.parametrize(
    ("event", "quantity", "value", "refund"),
    [
        ("purchase", "1", "9.99", ("purchase", 1, 9.99)),
        ("purchase", "1", "-9.99", ("refund", -1, -9.99)),
        ("purchase", "-2", "9.99", ("refund", -2, -9.99)),
        ("purchase", "-2", None, ("refund", -2, math.nan)),
        ("refund", None, "9.99", ("refund", math.nan, -9.99)),
        ("purchase", None, "0", ("purchase", math.nan, 0)),
    ],
)
def test_a_negative_number_makes_a_refund(
    event: str, quantity: str | None, value: str | None, refund: tuple[str, float, float]
) -> None:
    raw = frame(EVENT, {"event": event, "quantity": quantity, "value": value})
    rows, reasons = contracts.validate(raw, "events")
    assert list(reasons) == [""]
    found = mark_refunds(rows)[["event", "quantity", "value"]]
    pd.testing.assert_frame_equal(found, pd.DataFrame([refund], columns=found.columns), check_dtype=False)
