"""Raw rows of tables as readers hand them over, and the reasons why they are invalid."""

from collections.abc import Mapping

import pandas as pd

from adloom.data import contracts

EVENT = {"user_id": "u1", "timestamp": "2026-01-02", "event": "purchase", "quantity": "1", "value": "9.99"}
IMPRESSION = {
    "impression_id": "i1",
    "timestamp": "2026-01-02T03:04:05Z",
    "placement": "home",
    "creative_id": "c1",
    "clicked": "0",
}


def frame(base: Mapping[str, str], *changes: Mapping[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame([{**base, **change} for change in changes], dtype="str")


def reasons(table: str, base: Mapping[str, str], *changes: Mapping[str, str | None]) -> list[str]:
    return list(contracts.validate(frame(base, *changes), table)[1])
