"""Tables as Parquet shards of an artifact: small enough to stream, equal from run to run."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_SHARD = 20_000


def write(rows: pd.DataFrame, folder: Path, name: str = "rows") -> None:
    """Write rows as `<name>-00000.parquet`, … below a folder; an empty table is one empty shard."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    for shard, start in enumerate(range(0, max(len(rows), 1), ROWS_PER_SHARD)):
        pq.write_table(table.slice(start, ROWS_PER_SHARD), folder / f"{name}-{shard:05}.parquet", compression="zstd")


def read(
    folder: Path, split: str | None = None, columns: Sequence[str] | None = None, name: str = "rows"
) -> pd.DataFrame:
    """Read the rows of an artifact, of one split when it is given, in the order they were written."""
    shards = [str(path) for path in sorted(folder.glob(f"{name}-*.parquet"))]
    filters = [("split", "==", split)] if split else None
    table = pq.ParquetDataset(shards, filters=filters).read(columns=list(columns) if columns else None)
    return table.to_pandas()
