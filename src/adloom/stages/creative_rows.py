"""Open the table of creatives."""

from pathlib import Path

from adloom.creatives.table import COLUMNS, CreativeTable
from adloom.data.attributes import PREFIX
from adloom.storage import parquet

ROWS = 100  # read at once


def open_creatives(folder: Path) -> CreativeTable:
    """Return the table of creatives without reading its pictures."""
    attributes = [name for name in parquet.list_columns(folder) if name.startswith(PREFIX)]
    return CreativeTable(
        parquet.read(folder, columns=[*COLUMNS, *attributes]),
        lambda: (batch["image"] for batch in parquet.read_batches(folder, ["image"], ROWS)),
    )
