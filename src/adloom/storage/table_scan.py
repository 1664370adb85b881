"""
Tables as Ibis expressions: DuckDB or Spark streams their Parquet shards, so memory does not grow with the rows.

Every table has a column `timestamp`, which becomes a time in UTC without a zone.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import ibis
import pandas as pd
from ibis.backends.duckdb import Backend

from adloom.errors import ConfigError
from adloom.storage import parquet

Engine = Literal["duckdb", "spark"]

MEMORY_GB = 1.0  # of the engine; larger groups go to the temporary folder
IN_UTC = (  # times without a zone; a cast would use the machine's zone
    "SELECT * REPLACE (make_timestamp(epoch_us(timestamp)) AS timestamp) FROM stored"
)


def scan_table(
    folder: Path, split: str | None = None, engine: Engine = "duckdb", memory_gb: float = MEMORY_GB
) -> ibis.Table:
    """Return the rows of a prepared table, optionally of one split; they are read when a query runs."""
    rows = _scan_by_spark(folder, memory_gb) if engine == "spark" else _scan_by_duckdb(folder, memory_gb)
    return rows.filter(rows.split == split) if split else rows


def _scan_by_duckdb(folder: Path, memory_gb: float) -> ibis.Table:
    connection = _connect(memory_gb)
    connection.con.read_parquet(parquet.list_shards(folder)).create_view("stored")
    return _select_rows(connection)


def _scan_by_spark(folder: Path, memory_gb: float) -> ibis.Table:
    """Use the running Spark session, such as that of spark-submit, or start one on this machine."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise ConfigError("segment.engine spark: pyspark is not installed; run pip install 'adloom[spark]'") from None
    memory = f"{int(memory_gb * 1024)}m"
    session = SparkSession.builder.appName("adloom").config("spark.driver.memory", memory).getOrCreate()
    return ibis.pyspark.connect(session).read_parquet(f"{folder}/rows-*.parquet")  # times become UTC


def scan_shards(groups: Mapping[str, Sequence[Path]], names: Sequence[str], memory_gb: float) -> list[list[ibis.Table]]:
    """Return, per group of folders, the rows of the shards of each name; a query may join all of them."""
    connection = _connect(memory_gb)
    tables = []
    for group, folders in groups.items():
        for name in names:
            paths = [path for folder in folders for path in parquet.list_shards(folder, name)]
            connection.con.read_parquet(paths).create_view(f"{group}_{name}")
        tables.append([connection.table(f"{group}_{name}") for name in names])
    return tables


def write_rows(rows: ibis.Table, folder: Path, name: str = "rows", first: int = 0) -> None:
    """
    Write the rows of a query, in order, as Parquet shards from number `first`; memory does not grow with them.

    Raises ConfigError when Spark's executors write to a disk of their own.
    """
    if rows.get_backend().name != "pyspark":
        rows.to_parquet(folder / f"{name}-{first:05}.parquet", compression="zstd")
        return
    rows.to_parquet(folder / "spark", mode="overwrite")
    if not (parts := sorted((folder / "spark").glob("part-*.parquet"))):  # there is one even without rows
        raise ConfigError(
            f"segment.engine spark: the executors wrote users to their own {folder}; set TMPDIR to a folder that the "
            "driver and all executors share"
        )
    for number, part in enumerate(parts, first):
        part.rename(folder / f"{name}-{number:05}.parquet")
    shutil.rmtree(folder / "spark")


def hold_rows(rows: pd.DataFrame) -> ibis.Table:
    """Return rows that are in memory as a table."""
    connection = _connect(MEMORY_GB)
    connection.con.register("stored", parquet.to_arrow(rows))
    return _select_rows(connection)


def _connect(memory_gb: float) -> Backend:
    """Connect with one thread, so that the memory of a query is that of one."""
    connection = ibis.duckdb.connect(threads=1, memory_limit=f"{memory_gb}GB", temp_directory=tempfile.gettempdir())
    connection.con.execute("SET enable_progress_bar = false")
    return connection


def _select_rows(connection: Backend) -> ibis.Table:
    connection.con.execute(f"CREATE VIEW rows AS {IN_UTC}")
    return connection.table("rows")
