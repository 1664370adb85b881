"""Read the source of a table as chunks of raw rows under the contract's column names."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from adloom.config.sources import Source
from adloom.data.contracts import CONTRACTS, PARSE_ERROR
from adloom.data.reading.csv_files import read_csv
from adloom.data.reading.files import Chunks
from adloom.data.reading.idx_files import read_idx
from adloom.data.reading.parquet_files import read_parquet
from adloom.data.reading.picture_folders import read_folder
from adloom.errors import DataError


def read_source(root: Path, source: Source, table: str) -> Chunks:
    """
    Yield a source's rows under the contract's column names, with its constants.

    The contract's columns come first, in its order. Raises DataError for an unreadable file, ConfigError for an unknown
    column.
    """
    contract = CONTRACTS[table]
    contract.reject_unknown([*source.columns, *source.constants], f"ingest.{table}")
    start = 0
    for chunk in READERS[str(source.format)](root, source):
        rows = _rename_columns(chunk, source.columns, f"{source.uri} (ingest.{table})").assign(**source.constants)
        contract.require_columns(rows.columns, f"{source.uri} (ingest.{table})")
        if contract.key and contract.key not in rows:
            rows[contract.key] = [f"{number:08}" for number in range(start, start + len(rows))]
        start += len(rows)
        ours = pd.Index([name for name in contract.select_columns(rows.columns) if name in rows])
        yield pd.concat([rows[ours], rows.loc[:, ~rows.columns.isin(ours)]], axis=1)
    if not start:
        raise DataError(f"{source.uri} (ingest.{table}): no rows")


def _rename_columns(chunk: pd.DataFrame, columns: Mapping[str, str], label: str) -> pd.DataFrame:
    missing = [f"{theirs!r} for {ours}" for ours, theirs in columns.items() if theirs not in chunk]
    if missing:
        present = ", ".join(str(c) for c in chunk.columns if c != PARSE_ERROR)
        raise DataError(f"{label}: no column {', '.join(missing)}; the source has {present}; change `columns`")
    renamed = chunk[list(columns.values())].set_axis(list(columns), axis=1)
    others = chunk.drop(columns=[c for c in chunk if c in columns or c in columns.values()])
    return pd.concat([renamed, others], axis=1)


READERS: Mapping[str, Callable[[Path, Source], Chunks]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "folder": read_folder,
    "idx": read_idx,
}
