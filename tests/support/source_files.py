"""Source files written by tests, and what the readers make of them."""

from pathlib import Path

import pandas as pd
import pytest

from adloom.config.sources import Source
from adloom.data.reading.source import SourceReader
from adloom.errors import DataError
from adloom.stages.source_files import locate_files
from adloom.storage.local import FolderStore

ORDERS = "customer;when;total\nann;2026-01-02;9.99\nbob;2026-01-03;\n"
EVENTS = Source(
    uri="orders.csv",
    format="csv",
    separator=";",
    columns={"user_id": "customer", "timestamp": "when", "value": "total"},
    constants={"event": "purchase"},
)
COPY = Source(uri="lines.csv", format="csv")


def open_source(path: Path, source: Source, table: str) -> SourceReader:
    """Open the data files at a path as ingest does; the source's uri may be another one."""
    located = locate_files(source.model_copy(update={"uri": str(path)}), table, FolderStore())
    return SourceReader(path.parent if path.is_file() else path, located.data.paths, source, table)


def read(path: Path, source: Source, table: str) -> pd.DataFrame:
    return pd.concat(open_source(path, source, table).read_chunks(), ignore_index=True)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message(path: Path, source: Source, table: str) -> str:
    with pytest.raises(DataError) as caught:
        read(path, source, table)
    return str(caught.value)
