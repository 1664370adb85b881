"""Tables as Parquet shards with reproducible bytes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adloom.storage import files

ROWS_PER_SHARD = 20_000
BUFFER = 2**20  # bytes


class ShardWriter:
    """Write a table chunk by chunk as `<name>-00000.parquet`, … below a folder."""

    def __init__(self, folder: Path, name: str = "rows") -> None:
        self._folder = folder
        self._name = name
        self._count = 0
        self.rows = 0

    def append(self, rows: pd.DataFrame) -> None:
        """Write rows as more shards; no rows are one empty shard."""
        table = to_arrow(rows)
        for start in range(0, max(len(rows), 1), ROWS_PER_SHARD):
            _write_shard(table.slice(start, ROWS_PER_SHARD), self._folder / f"{self._name}-{self._count:05}.parquet")
            self._count += 1
        self.rows += len(rows)


class FullShardWriter:
    """Write a table in shards of ROWS_PER_SHARD rows, whatever the size of the chunks; `close` writes the rest."""

    def __init__(self, folder: Path, name: str) -> None:
        self._shards = ShardWriter(folder, name)
        self._waiting: list[pd.DataFrame] = []

    def append(self, rows: pd.DataFrame) -> None:
        """Write as many full shards as there are rows for."""
        self._waiting.append(rows)
        count = sum(map(len, self._waiting))
        if count >= ROWS_PER_SHARD:
            table = pd.concat(self._waiting, ignore_index=True)
            full = count - count % ROWS_PER_SHARD
            self._shards.append(table[:full])
            self._waiting = [table[full:]]

    def close(self) -> None:
        """Write the rest; a table without rows is one empty shard."""
        rest = pd.concat(self._waiting, ignore_index=True)
        if len(rest) or not self._shards.rows:
            self._shards.append(rest)


def write(rows: pd.DataFrame, folder: Path, name: str = "rows") -> None:
    """Write rows as shards."""
    ShardWriter(folder, name).append(rows)


def read(
    folder: Path, split: str | None = None, columns: Sequence[str] | None = None, name: str = "rows"
) -> pd.DataFrame:
    """Read the rows in order, optionally of one split."""
    filters = [("split", "==", split)] if split else None
    shards = pq.ParquetDataset(list_shards(folder, name), filters=filters)
    table = shards.read(columns=list(columns) if columns else None)
    rows: pd.DataFrame = table.to_pandas()
    return rows


def list_columns(folder: Path, name: str = "rows") -> list[str]:
    """Return the names of a table's columns."""
    shard, *_ = list_shards(folder, name)
    return pq.read_schema(shard).names  # type: ignore[no-any-return] # pyarrow has no types


def count_rows(folder: Path, name: str = "rows") -> int:
    """Return the number of rows, from the files' footers."""
    return sum(pq.read_metadata(path).num_rows for path in list_shards(folder, name))


def read_chunks(
    folder: Path, name: str = "rows", columns: Sequence[str] | None = None, split: str | None = None, shards: int = 1
) -> Iterator[pd.DataFrame]:
    """
    Yield the rows, optionally of one split, in Arrow's types, which allow missing integers.

    A chunk has the rows of so many shards, or of fewer where their columns differ.
    """
    filters = [("split", "==", split)] if split else None
    tables = (
        pq.read_table(path, columns=list(columns) if columns else None, filters=filters)
        for path in list_shards(folder, name)
    )
    for table in _join_tables(tables, shards):
        yield table.to_pandas(types_mapper=pd.ArrowDtype)


def _join_tables(tables: Iterable[pa.Table], count: int) -> Iterator[pa.Table]:
    """Yield up to `count` consecutive tables of equal columns as one."""
    joined: list[pa.Table] = []
    for table in tables:
        if joined and (len(joined) == count or table.schema != joined[0].schema):
            yield pa.concat_tables(joined).combine_chunks()
            joined = []
        joined.append(table)
    if joined:
        yield pa.concat_tables(joined).combine_chunks()


def read_batches(folder: Path, columns: Sequence[str], size: int) -> Iterator[pd.DataFrame]:
    """Yield the rows in order, at most `size` at once; memory does not grow with the table."""
    for path in list_shards(folder):
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:  # pages instead of whole columns
            for batch in file.iter_batches(size, columns=list(columns)):
                yield batch.to_pandas()


def to_arrow(rows: pd.DataFrame) -> pa.Table:
    """Return rows as an Arrow table. Times go first: Arrow converts those of pandas by a deprecated method."""
    times = dict.fromkeys(rows.select_dtypes("datetimetz").columns, pd.ArrowDtype(pa.timestamp("us", "UTC")))
    return pa.Table.from_pandas(rows.astype(times), preserve_index=False).replace_schema_metadata(None)


def _write_shard(rows: pa.Table, path: Path) -> None:
    try:
        with files.create_private(path) as stream:
            pq.write_table(rows, stream, compression="zstd")
    except OSError as error:  # Arrow's error does not name the file
        raise OSError(error.errno, str(error), str(path)) from None


def list_shards(folder: Path, name: str = "rows") -> list[str]:
    """Return the paths of a table's shards, in the order of its rows."""
    return [str(path) for path in sorted(folder.glob(f"{name}-*.parquet"))]
