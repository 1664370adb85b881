"""The features of `benchmarks/audience.py` by adloom, and by hand in pandas, Polars and DuckDB's SQL."""

import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from adloom.audience.features import build_features
from adloom.audience.user_totals import HOURS, WEEKDAYS, sum_events
from adloom.config.audience import Segment
from adloom.stages.update_features import update_features
from adloom.storage.parquet import list_shards
from adloom.storage.table_scan import scan_table, write_rows

AS_OF = pd.Timestamp("2026-08-01", tz="UTC")
DAY = 86_400


def run_ours(table: Path, target: Path) -> None:
    """The expressions of adloom; the events have no items."""
    target.mkdir(exist_ok=True)
    write_rows(build_features(sum_events(scan_table(table), AS_OF, "purchase"), AS_OF), target)


def run_pandas(table: Path, target: Path) -> None:
    events = pq.read_table(list_shards(table), columns=["user_id", "timestamp", "event", "value"]).to_pandas()
    events = events[(events["timestamp"] < AS_OF) & events["event"].isin(["purchase", "refund"])]
    events = events.sort_values(["user_id", "timestamp"])
    second = events["timestamp"].astype("int64") // 1_000_000
    events = events.assign(second=second, gap=second.groupby(events["user_id"]).diff())
    events["hour"], events["weekday"] = events["timestamp"].dt.hour, events["timestamp"].dt.weekday
    users = events.groupby("user_id").agg(
        first=("second", "min"), last=("second", "max"), frequency=("second", "count"), monetary=("value", "sum"),
        interpurchase_days=("gap", "mean"), spread=("gap", "std"),
    )  # fmt: skip
    now = int(AS_OF.timestamp())
    users["recency_days"], users["tenure_days"] = (now - users["last"]) / DAY, (now - users["first"]) / DAY
    users[["interpurchase_days", "spread"]] /= DAY
    for column in ("hour", "weekday"):
        counts = events.groupby(["user_id", column]).size().unstack(fill_value=0)
        users = users.join(counts.div(users["frequency"], axis=0).add_prefix(f"{column}_"))
    users.reset_index().to_parquet(target / "pandas.parquet")


def run_polars(table: Path, target: Path) -> None:
    import polars as pl  # noqa: PLC0415 # only this peer needs it

    events = pl.scan_parquet(str(table / "rows-*.parquet")).filter(
        pl.col("timestamp") < AS_OF.to_pydatetime(), pl.col("event").is_in(["purchase", "refund"])
    )
    second, now = pl.col("second"), int(AS_OF.timestamp())
    gap, time = second.sort().diff(), pl.col("timestamp")
    users = events.with_columns(
        second=time.dt.epoch("s"), hour=time.dt.hour(), day=time.dt.weekday()
    ).group_by("user_id").agg(
        recency_days=(now - second.max()) / DAY, frequency=pl.len(), monetary=pl.col("value").sum(),
        tenure_days=(now - second.min()) / DAY, interpurchase_days=gap.mean() / DAY, spread=gap.std() / DAY,
        **{name: (pl.col("hour") == i).mean() for i, name in enumerate(HOURS)},
        **{name: (pl.col("day") == i + 1).mean() for i, name in enumerate(WEEKDAYS)},
    )  # fmt: skip
    users.sink_parquet(target / "polars.parquet")


def run_duckdb(table: Path, target: Path) -> None:
    now = int(AS_OF.timestamp())
    hours = ", ".join(f"avg((hour = {i})::int) AS {name}" for i, name in enumerate(HOURS))
    days = ", ".join(f"avg((day = {i + 1})::int) AS {name}" for i, name in enumerate(WEEKDAYS))
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "1GB", "temp_directory": str(target)})
    connection.execute(f"""
        COPY (
            SELECT user_id, ({now} - max(second)) / {DAY} AS recency_days, count(*) AS frequency,
                   sum(value) AS monetary, ({now} - min(second)) / {DAY} AS tenure_days,
                   avg(gap) / {DAY} AS interpurchase_days, stddev_samp(gap) / {DAY} AS spread, {hours}, {days}
            FROM (
                SELECT *, second - lag(second) OVER (PARTITION BY user_id ORDER BY second) AS gap
                FROM (
                    SELECT user_id, value, epoch_us(timestamp) // 1000000 AS second,
                           hour(make_timestamp(epoch_us(timestamp))) AS hour,
                           isodow(make_timestamp(epoch_us(timestamp))) AS day
                    FROM read_parquet('{table}/rows-*.parquet')
                    WHERE event IN ('purchase', 'refund') AND epoch_us(timestamp) < {now * 1_000_000}
                )
            )
            GROUP BY user_id
        ) TO '{target}/duckdb.parquet'
    """)


def count_events(table: Path, state: Path) -> None:
    """Count all events in a new state."""
    update_features(table, state, None, Segment())


def add_day(_: Path, day: Path, state: Path) -> None:
    """Count a day's events, and forget them for the next round."""
    update_features(day, state, None, Segment())
    shutil.rmtree(max(state.glob("layer-*")))


def add_day_and_write(_: Path, day: Path, state: Path) -> None:
    """Count a day's events and write the features of all users."""
    update_features(day, state, state.parent / "features", Segment())
    shutil.rmtree(max(state.glob("layer-*")))


def recompute_features(table: Path, _: Path, state: Path) -> None:
    """Compute all features of all events."""
    run_ours(table, state.parent / "features")
