"""Tables of users in files below a scratch folder."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import ibis

from adloom.audience.user_table import UserTable, WriteUsers
from adloom.storage import parquet
from adloom.storage.table_scan import write_rows

BATCH = 1 << 16  # users read at a time; results do not depend on it
EVENTS_AT_A_TIME = 10_000_000  # of whole users, whose sums fit into the memory of the engine


def write_below(scratch: Path, events: int) -> WriteUsers:
    """
    Return a function that writes users into a folder of their own below the scratch folder.

    A query over this many events runs once for each range of users, so that its memory does not grow with them.
    """

    def write(rows: ibis.Table, name: str) -> UserTable:
        folder = scratch / name
        folder.mkdir()
        for part in _split_users(rows, max(1, -(-events // EVENTS_AT_A_TIME))):
            write_rows(part.order_by("user_id"), folder, first=len([*folder.iterdir()]))
        return UserTable(parquet.count_rows(folder), lambda columns: parquet.read_batches(folder, columns, BATCH))

    return write


def _split_users(rows: ibis.Table, parts: int) -> Iterator[ibis.Table]:
    """Yield the rows of ascending ranges of users; pseudonyms are hexadecimal, so each range has as many users."""
    starts = ["", *(f"{65536 * part // parts:04x}" for part in range(1, parts)), ""]
    for start, end in itertools.pairwise(starts):
        users = rows.filter(rows.user_id >= start) if start else rows
        yield users.filter(users.user_id < end) if end else users
