"""Check tables before they are compared: they may come from other tools than `adloom prepare`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from adloom.data.contracts import CONTRACTS
from adloom.data.values import COUNT, FLAG, NUMBER, PICTURE, SHARE, SIGNED_NUMBER, TIME, WEIGHT
from adloom.errors import DataError
from adloom.storage import parquet

NEXT_STEP = "correct it, or let `adloom prepare` quarantine such rows"


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


EXPECTED: dict[int, tuple[str, Callable[[pa.DataType], bool]]] = {  # by the identity of a column's type
    id(TIME): ("times", types.is_timestamp),
    id(FLAG): ("true or false", types.is_boolean),
    id(PICTURE): ("bytes", lambda kind: types.is_binary(kind) or types.is_large_binary(kind)),
    **dict.fromkeys(map(id, (COUNT, NUMBER, SIGNED_NUMBER, SHARE, WEIGHT)), ("numbers", _is_number)),
}


def find_columns(folder: Path, table: str, name: str = "rows") -> list[str]:
    """Return the columns with values. Raises DataError for a missing column, and for one of another type."""
    contract, found = CONTRACTS[table], list[str]()
    for shard in parquet.list_shards(folder, name):
        schema = pq.read_schema(shard)
        kinds = {column.name: column.type for column in schema if not types.is_null(column.type)}
        for column, kind in kinds.items():
            if column in contract.columns:
                _check_type(shard, column, kind, id(contract.columns[column].kind))
        needed = {column for column, each in contract.columns.items() if each.required} - {contract.key, "clicked"}
        if missing := sorted(needed - kinds.keys()):
            raise DataError(f"{shard}: column {missing[0]}: absent or without values; {table} need it")
        found = [column for column in kinds if column in found or not found]
    return found


def _check_type(shard: str, column: str, kind: pa.DataType, expected: int) -> None:
    label, is_valid = EXPECTED.get(expected, ("", lambda _: True))
    if not is_valid(kind):
        actual = "text" if types.is_string(kind) or types.is_large_string(kind) else kind
        raise DataError(f"{shard}: column {column}: {actual}, expected {label}; convert it, or use `adloom prepare`")


def check_impressions(chunks: Iterable[pd.DataFrame], folder: Path) -> Iterator[pd.DataFrame]:
    """Yield chunks of impressions. Raises DataError for a missing time, and for a weight that is no number above 0."""
    for chunk in chunks:
        _check_values(folder, chunk["timestamp"], chunk["timestamp"].notna().to_numpy(bool), "a time")
        if "weight" in chunk:
            weight = chunk["weight"].astype("Float64").fillna(1).to_numpy(float)
            _check_values(folder, chunk["weight"], np.isfinite(weight) & (weight > 0), "a finite number above 0")
        yield chunk


def _check_values(folder: Path, column: pd.Series, is_valid: Any, expected: str) -> None:
    if not is_valid.all():
        first, more = int(np.argmin(is_valid)), int((~is_valid).sum()) - 1
        value = f"{column.iloc[first]} in row {column.index[first]} (and {more} more)"
        raise DataError(f"{folder}: column {column.name}: {value}, expected {expected}; {NEXT_STEP}")


def check_events(events: Any, folder: Path) -> None:
    """Check scanned events. Raises DataError for a missing time, and for an infinite number."""
    faults = {"timestamp": (events.timestamp.isnull(), "times")}
    for name in ("quantity", "value"):
        if name in events.columns and events[name].type().is_floating():
            faults[name] = events[name].isinf() | events[name].isnan(), "finite numbers"
    counts = events.aggregate(**{name: fault.sum() for name, (fault, _) in faults.items()}).to_pyarrow().to_pylist()[0]
    for name, (_, expected) in faults.items():
        if counts[name]:
            raise DataError(f"{folder}: column {name}: {counts[name]} invalid values, expected {expected}; {NEXT_STEP}")
