"""Source files written by tests, and what the readers make of them."""

from pathlib import Path

import pandas as pd
import pytest

from adloom.config.sources import Source
from adloom.data.reading.source import read_source
from adloom.errors import DataError

ORDERS = "customer;when;total\nann;2026-01-02;9.99\nbob;2026-01-03;\n"
EVENTS = Source(
    uri="orders.csv",
    format="csv",
    separator=";",
    columns={"user_id": "customer", "timestamp": "when", "value": "total"},
    constants={"event": "purchase"},
)
COPY = Source(uri="lines.csv", format="csv")


def read(path: Path, source: Source, table: str) -> pd.DataFrame:
    return pd.concat(read_source(path, source, table), ignore_index=True)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message(path: Path, source: Source, table: str) -> str:
    with pytest.raises(DataError) as caught:
        read(path, source, table)
    return str(caught.value)
