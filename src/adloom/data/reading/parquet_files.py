"""Reader of Parquet files."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from adloom.config.sources import Source
from adloom.data.reading.files import ROWS_PER_CHUNK, Chunks, list_files, translate_errors


def read_parquet(root: Path, source: Source) -> Chunks:
    """Yield the rows of Parquet files."""
    del source
    for path in list_files(root):
        with translate_errors(path):
            for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_CHUNK):
                yield batch.to_pandas(types_mapper=pd.ArrowDtype)  # integers stay integers next to missing values
