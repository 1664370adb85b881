"""The users at a point in time, in a file that is read in batches, so that memory does not grow with them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import ibis
import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, Int64Array, IntegerArray
from adloom.audience.segmenter import FEATURES, Segmenter

Rows = TypeVar("Rows", Float64Array, pd.DataFrame)


@dataclass(frozen=True)
class UserTable:
    """Users with FEATURES and other columns, ascending by id, in a file that only batches are held of."""

    size: int
    read_batches: Callable[[Sequence[str]], Iterator[pd.DataFrame]]  # columns -> batches of rows of any size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Float64Array]:
        """Yield the features of a batch of users (users, 5), NaN where null."""
        return (stack_features(batch) for batch in self.scan(*FEATURES))

    def scan(self, *columns: str) -> Iterator[pd.DataFrame]:
        """Yield some columns of a batch of users."""
        return self.read_batches(columns)

    def take(self, rows: Int64Array, *columns: str) -> pd.DataFrame:
        """Return some columns of the users with these ascending numbers."""
        parts = take_rows(self.scan(*columns), rows) or [pd.DataFrame(columns=list(columns), dtype="str")]
        return pd.concat(parts, ignore_index=True)


WriteUsers = Callable[[ibis.Table, str], UserTable]  # (rows of a query, name of the file) -> their table


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
