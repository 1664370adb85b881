"""Tables of users in files below a scratch folder."""

from pathlib import Path

import ibis

from adloom.audience.user_table import UserTable, WriteUsers
from adloom.storage import parquet
from adloom.storage.table_scan import write_rows

BATCH = 1 << 16  # users read at a time; results do not depend on it


def write_below(scratch: Path) -> WriteUsers:
    """Return a function that writes users into a folder of their own below the scratch folder."""

    def write(rows: ibis.Table, name: str) -> UserTable:
        folder = scratch / name
        folder.mkdir()
        write_rows(rows.order_by("user_id"), folder)
        return UserTable(parquet.count_rows(folder), lambda columns: parquet.read_batches(folder, columns, BATCH))

    return write
