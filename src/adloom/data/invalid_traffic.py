"""Marks of impressions that no person made: robots' names, impossible times, and users who are too fast."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from adloom.config.params import InvalidTraffic
from adloom.data.context import CLOCK_SKEW
from adloom.data.values import map_distinct

USER_AGENT = "user_agent"
ROBOT = "user agent of a robot"
EARLY = "click or conversion before its impression"
HOUR = "too many impressions of a user within an hour"
BURST = "too many clicks of a user within a minute"
OUTCOMES = ("outcome_at", "conversion_at")

HOUR_US = 3_600_000_000

# Hours of users who are too fast, and whether their clicks are.
_HEAVY_HOURS = """
with known as (
    select user_id, clicked, epoch_us(timestamp) // 3600000000 as hour,
        epoch_us(coalesce(outcome_at, timestamp)) as click_at
    from impressions where user_id is not null and not invalid
),
clicks as (
    select user_id, hour,
        count(*) over (by_time range between current row and 60000000 following) as later,
        count(*) over (by_time range between 60000000 preceding and current row) as before
    from known where clicked window by_time as (partition by user_id order by click_at)
)
select user_id, hour, bool_and(is_burst) as is_burst from (
    select user_id, hour, false as is_burst from known group by user_id, hour having count(*) > $hourly
    union all
    select user_id, hour, true from clicks where greatest(later, before) > $minutely
) group by user_id, hour
"""
_UNLIMITED = 2**62


def mark_rows(rows: pd.DataFrame, params: InvalidTraffic) -> pd.DataFrame:
    """Return impressions with `invalid` and `invalid_reason`, by what each row says, and without user agents."""
    reason = pd.Series(None, rows.index, "str")
    skew = pd.Timedelta(microseconds=CLOCK_SKEW)
    for name in OUTCOMES:
        reason = reason.mask((rows[name] < rows["timestamp"] - skew).fillna(False).astype(bool), EARLY)
    robots = map_distinct(rows[USER_AGENT], lambda agent: ROBOT if re.search(params.user_agents, agent, re.I) else "")
    reason = reason.mask((robots == ROBOT).fillna(False).astype(bool), ROBOT)
    return rows.drop(columns=USER_AGENT).assign(invalid=reason.notna(), invalid_reason=reason)


def find_heavy_hours(impressions: Sequence[str] | pa.Table, params: InvalidTraffic) -> pd.Series:
    """Return the reason of each user and hour with too much of something, by (user_id, hour); of Parquet or a table."""
    import duckdb

    hourly, minutely = params.impressions_per_hour or _UNLIMITED, params.clicks_per_minute or _UNLIMITED
    with duckdb.connect(config={"threads": 1, "memory_limit": "1GB"}) as database:
        if isinstance(impressions, pa.Table):
            database.register("impressions", impressions)
        else:
            database.read_parquet(list(impressions)).create_view("impressions")
        values = {"hourly": hourly, "minutely": minutely}
        heavy = database.execute(_HEAVY_HOURS, values).df()
    reasons = np.where(heavy["is_burst"], BURST, HOUR)
    return pd.Series(reasons, pd.MultiIndex.from_frame(heavy[["user_id", "hour"]].astype({"hour": "int64"})))


def mark_hours(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Return prepared impressions with the marks of their users' hours, where they have none of their own."""
    hours = rows["timestamp"].astype("int64[pyarrow]").to_numpy("int64") // HOUR_US
    users = rows["user_id"].astype("object").where(rows["user_id"].notna(), "")
    place = reasons.index.get_indexer(pd.MultiIndex.from_arrays([users, hours]))
    choices = np.array([*reasons, None], object)
    marks = pd.Series(choices[place], rows.index, rows["invalid_reason"].dtype)
    reason = rows["invalid_reason"].fillna(marks)
    return rows.assign(invalid=reason.notna().astype(rows["invalid"].dtype), invalid_reason=reason)
