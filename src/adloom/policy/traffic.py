"""Find open impressions that no refresh may learn from: those of robots, and of users with too many of the clicks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from adloom.arrays import BoolArray
from adloom.config.params import InvalidTraffic
from adloom.data.invalid_traffic import find_heavy_hours, mark_hours
from adloom.policy.user_cap import find_factors

UNKNOWN_USER = -1


@dataclass(frozen=True)
class TrafficRules:
    """The rules of `prepare` for invalid traffic, and the largest share of the clicks of one user."""

    invalid: InvalidTraffic
    max_user_share: float

    def find_invalid(self, pending: pd.DataFrame, clicks: pd.DataFrame) -> BoolArray:
        """Return which impressions (key, time, user, held_out) to leave out, given clicks (key, time)."""
        click_at = pending["key"].map(clicks.set_index("key")["time"])
        invalid = self._find_heavy_hours(pending, click_at)
        return invalid | self._find_heavy_users(pending, click_at.notna().to_numpy() & ~invalid)

    def _find_heavy_hours(self, pending: pd.DataFrame, click_at: pd.Series) -> BoolArray:
        limits = [n for n in (self.invalid.impressions_per_hour, self.invalid.clicks_per_minute) if n]
        counts = pending.loc[pending["user"] != UNKNOWN_USER, "user"].value_counts()
        suspect = pending["user"].isin(counts.index[counts > min(limits, default=len(pending))]).to_numpy()
        rows = pd.DataFrame({
            "user_id": pending.loc[suspect, "user"].astype("string[pyarrow]"),
            "timestamp": _to_times(pending.loc[suspect, "time"]),
            "outcome_at": _to_times(click_at[suspect]),
            "clicked": click_at[suspect].notna(),
        }).assign(invalid=False, invalid_reason=pd.Series(dtype="string[pyarrow]"))  # fmt: skip
        if len(rows):
            rows = mark_hours(rows, find_heavy_hours(pa.Table.from_pandas(rows), self.invalid))
        marked = np.zeros(len(pending), bool)
        marked[suspect] = rows["invalid"]
        return marked

    def _find_heavy_users(self, pending: pd.DataFrame, clicked: BoolArray) -> BoolArray:
        """Cap the users who train and those held out apart, since each group's clicks decide something else."""
        user, held_out = pending["user"].to_numpy(), pending["held_out"].to_numpy()
        heavy = np.zeros(len(pending), bool)
        for group in (held_out, ~held_out):
            users, clicks = np.unique(user[group & clicked & (user != UNKNOWN_USER)], return_counts=True)
            rewards = clicks.astype(float)
            factors = find_factors(rewards, rewards, float((group & clicked).sum()), self.max_user_share)
            heavy |= group & np.isin(user, users[factors < 1])
        return heavy


def _to_times(microseconds: pd.Series) -> pd.Series:
    return pd.to_datetime(microseconds, unit="us", utc=True).astype(pd.ArrowDtype(pa.timestamp("us", "UTC")))
