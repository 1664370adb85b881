"""Refunds: events that take money back."""

import pandas as pd

from adloom.data.context import REFUND


def mark_refunds(events: pd.DataFrame) -> pd.DataFrame:
    """
    Return events with refunds by name.

    A negative value or quantity makes an event a refund; value and quantity of a refund are at most 0.
    """
    refund = (events["event"] == REFUND) | (events["value"] < 0) | (events["quantity"] < 0)
    signed = {name: events[name].mask(refund, -events[name].abs()) for name in ("value", "quantity")}
    return events.assign(event=events["event"].mask(refund, REFUND), **signed)
