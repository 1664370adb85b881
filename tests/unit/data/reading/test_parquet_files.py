"""Parquet files keep their types."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tests.support.source_files import message, read, written

from adloom.config.sources import Source


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"user_id": pa.array([7, None]), "timestamp": ["2026-01-02"] * 2, "event": ["view"] * 2})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path, Source(uri="events", format="parquet"), "events")
    assert rows["user_id"].dtype == pd.ArrowDtype(pa.int64())


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.parquet", b"PAR1 and nothing else")
    assert message(path, Source(uri="a.parquet", format="parquet"), "events").startswith(f"{path}: ")
