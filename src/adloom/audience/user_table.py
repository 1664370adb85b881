"""The users at a point in time, in a file that is read in batches, so that memory does not grow with them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, Int64Array, IntegerArray
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.storage import parquet
from adloom.storage.table_scan import write_rows

Rows = TypeVar("Rows", Float64Array, pd.DataFrame)

BATCH = 1 << 16  # users read at a time; results do not depend on it


@dataclass(frozen=True)
class UserTable:
    """Users with FEATURES and other columns below a folder, ascending by id."""

    folder: Path
    size: int

    @classmethod
    def write(cls, rows: ibis.Table, folder: Path) -> Self:
        """Write the rows of a query into a new folder."""
        folder.mkdir()
        write_rows(rows.order_by("user_id"), folder)
        return cls(folder, parquet.count_rows(folder))

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Float64Array]:
        """Yield the features of a batch of users (users, 5), NaN where null."""
        return (stack_features(batch) for batch in self.scan(*FEATURES))

    def scan(self, *columns: str) -> Iterator[pd.DataFrame]:
        """Yield some columns of a batch of users."""
        return parquet.read_batches(self.folder, columns, BATCH)

    def take(self, rows: Int64Array, *columns: str) -> pd.DataFrame:
        """Return some columns of the users with these ascending numbers."""
        parts = take_rows(self.scan(*columns), rows) or [parquet.read(self.folder, columns=columns)]
        return pd.concat(parts, ignore_index=True)


def stack_features(users: pd.DataFrame) -> Float64Array:
    """Return the features (users, 5), NaN where null."""
    return np.ascontiguousarray(users[list(FEATURES)].to_numpy(dtype=np.float64, na_value=np.nan))


def assign_users(segmenter: Segmenter, batches: Iterable[Float64Array]) -> IntegerArray:
    """Return the segment of each user (users,) as an index into the segmenter's names, in four bytes."""
    return np.concatenate([segmenter.index(batch).astype(np.int32) for batch in batches])


def pair_rows(batches: Iterable[Rows], values: IntegerArray) -> Iterator[tuple[Rows, IntegerArray]]:
    """Yield each batch with its part of the values (users,)."""
    start = 0
    for batch in batches:
        yield batch, values[start : start + len(batch)]
        start += len(batch)


def take_rows(batches: Iterable[Rows], rows: Int64Array) -> list[Rows]:
    """Return the rows with these ascending numbers, by batch."""
    parts, start = [], 0
    for batch in batches:
        first, end = np.searchsorted(rows, (start, start + len(batch)))
        parts.append(batch.take(rows[first:end] - start, axis=0))
        start += len(batch)
    return parts
