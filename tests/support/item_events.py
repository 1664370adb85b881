"""Small tables of events with items."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from adloom.recommendation.interactions import Interactions, read_interactions
from adloom.storage.table_scan import hold_rows

FIRST = pd.Timestamp("2026-01-01", tz="UTC")


def event_rows(orders: Mapping[str, Sequence[str | None]], holdout: int | None = None) -> pd.DataFrame:
    """Return a purchase a day by each user; those from day `holdout` on are held out."""
    rows = [(user, day, item) for user, items in orders.items() for day, item in enumerate(items)]
    frame = pd.DataFrame(rows, columns=["user_id", "day", "item_id"]).astype({"item_id": "str"})
    is_late = frame["day"] >= (len(frame) if holdout is None else holdout)
    return frame.assign(
        timestamp=FIRST + pd.to_timedelta(frame.pop("day"), unit="D"),
        event="purchase",
        split=np.where(is_late, "holdout", "calibration"),
    )


def interact(orders: Mapping[str, Sequence[str | None]]) -> Interactions:
    """Return the interactions of a purchase a day by each user."""
    return read_interactions(hold_rows(event_rows(orders)))


def find_day(day: int) -> int:
    """Return the time of a day in µs since 1970."""
    return int((FIRST + pd.Timedelta(days=day)).timestamp() * 1_000_000)


def walk_circle(users: int, items: int, length: int) -> dict[str, list[str]]:
    """Return orders of users who buy the items of a circle in order, each from another start."""
    return {f"user-{u:03}": [f"item-{(u + step) % items:02}" for step in range(length)] for u in range(users)}
