"""
Tables as Ibis expressions: DuckDB streams their Parquet shards, so memory does not grow with the rows.

Every table has a column `timestamp`, which becomes a time in UTC without a zone.
"""

import tempfile
from pathlib import Path

import ibis
import pandas as pd
from ibis.backends.duckdb import Backend

from adloom.storage import parquet

MEMORY = "1GB"  # of DuckDB; larger groups go to the temporary folder
IN_UTC = (  # times without a zone; a cast would use the machine's zone
    "SELECT * REPLACE (make_timestamp(epoch_us(timestamp)) AS timestamp) FROM stored"
)


def scan_table(folder: Path, split: str | None = None) -> ibis.Table:
    """Return the rows of a prepared table, optionally of one split; they are read when a query runs."""
    connection = _connect()
    connection.con.read_parquet(parquet.list_shards(folder)).create_view("stored")
    rows = _select_rows(connection)
    return rows.filter(rows.split == split) if split else rows


def hold_rows(rows: pd.DataFrame) -> ibis.Table:
    """Return rows that are in memory as a table."""
    connection = _connect()
    connection.con.register("stored", parquet.to_arrow(rows))
    return _select_rows(connection)


def _connect() -> Backend:
    """Connect with one thread, so that the memory of a query is that of one."""
    return ibis.duckdb.connect(threads=1, memory_limit=MEMORY, temp_directory=tempfile.gettempdir())


def _select_rows(connection: Backend) -> ibis.Table:
    connection.con.execute(f"CREATE VIEW rows AS {IN_UTC}")
    return connection.table("rows")
