"""Impressions and clicks as increments of statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from adloom.data.context import SEPARATOR
from adloom.decision_log.increments import HOUR
from adloom.policy.statistics import ImpressionStatistics

CANDIDATES = ("hat", "bag", "shoe")


def shown_rows(key: Sequence[int], **columns: Any) -> pd.DataFrame:
    """Return impressions of the bag in hour 100 by a uniform policy."""
    defaults = {"hour": 100, "placement": "home", "position": 1, "creative_id": "bag", "held_out": False}
    row = {**defaults, "candidates": SEPARATOR.join(sorted(CANDIDATES)), "propensity": 1 / 3, "ctx_device": "phone"}
    rows = pd.DataFrame({"key": np.array(key, np.int64), "user": -1, **row, **columns})
    return rows.assign(time=columns.get("time", rows["hour"] * HOUR))


def click_rows(key: Sequence[int], hour: int | Sequence[int] = 100) -> pd.DataFrame:
    """Return clicks."""
    rows = pd.DataFrame({"key": np.array(key, np.int64), "kind": "click", "hour": hour})
    return rows.assign(time=rows["hour"] * HOUR)


def simulate_tastes(
    rate: dict[str, float], rows: int = 6000, held_out_rate: dict[str, float] | None = None
) -> ImpressionStatistics:
    """Return statistics of uniform decisions, with clicks at these rates; held-out users may have others."""
    rng = np.random.default_rng(0)
    creative, held_out = rng.choice(CANDIDATES, rows), np.arange(rows) % 5 == 0
    chance = np.array([rate[name] for name in creative])
    others = np.array([(held_out_rate or rate)[name] for name in creative])
    clicked = rng.random(rows) < np.where(held_out, others, chance)
    shown = shown_rows(range(rows), creative_id=creative, held_out=held_out)
    return ImpressionStatistics.empty().add(shown, click_rows(np.flatnonzero(clicked).tolist()), 2)
