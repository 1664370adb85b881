"""Reader of JSON Lines: one object per line."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from adloom.config.sources import Source
from adloom.data.contracts import CONTRACTS
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks
from adloom.data.reading.path_columns import read_path_columns
from adloom.data.reading.records import build_frame
from adloom.data.reading.text_files import NUL, Line, open_text, read_lines
from adloom.errors import DataError

MAX_COLUMNS = 1000  # outside the contract; keys of some objects are data
NULLS = pd.ArrowDtype(pa.null())
INVALID = "line: not a JSON object"


class JsonlReader:
    """
    Reads files of JSON Lines. Nested objects become columns such as `user.id`, lists become JSON text.

    A key that `columns` names may be absent in lines and files, but not in all of them.
    """

    def __init__(self, paths: Sequence[Path], source: Source, table: str) -> None:
        self._paths, self._source, self._contract = paths, source, CONTRACTS[table]
        self._is_column: dict[str, bool] = {}  # by key

    def __call__(self, path: Path) -> Chunks:
        """Yield the rows of a file."""
        keys = set(self._source.columns.values()) - read_path_columns(path.as_posix(), self._source).keys()
        with open_text(path, self._source.encoding) as stream:
            lines: Iterator[Line] = (line for line in read_lines(stream, path) if line[2] or line[1].strip())
            first = next(lines, None)
            if first and (first[1].lstrip().startswith("[") or first[1].strip() == "{"):
                raise DataError(f"{path}: a list, or objects over several lines; write one per line, as `jq -c` does")
            lines = itertools.chain([first] if first else [], lines)
            while len(chunk := self._read_chunk(lines, path.name)):
                yield chunk.assign(**{key: pd.Series(None, chunk.index, NULLS) for key in keys if key not in chunk})
        if path == self._paths[-1] and (absent := sorted(keys - self._is_column.keys())):
            if not self._is_column:
                raise DataError(f"{self._source.uri}: {INVALID}, expected one in each line")
            raise DataError(
                f"{self._source.uri}: no line has {', '.join(absent)}, only {', '.join(sorted(self._is_column))}; "
                "change `columns`"
            )

    def _read_chunk(self, lines: Iterator[Line], name: str) -> pd.DataFrame:
        """Return the next rows, as many as fit into a chunk."""
        columns: dict[str, list[Any]] = {}
        faults: dict[int, tuple[str, str]] = {}
        count = size = 0
        for number, text, broken in lines:
            row, error = ({}, broken) if broken else parse_object(text)
            if error:
                faults[count] = error, f"{name} line {number}"
            self._append(columns, row, count)
            count += 1
            size += len(text)
            if count == ROWS_PER_CHUNK or size > BYTES_PER_CHUNK:
                break
        for column in columns.values():
            column.extend([None] * (count - len(column)))
        return build_frame(columns, count, faults, self._source)

    def _append(self, columns: dict[str, list[Any]], row: Mapping[str, Any], count: int) -> None:
        """Append a row to the columns of the rows before it; a column may lack the last ones."""
        for key, value in row.items():
            column = columns.get(key)
            if column is None and self._keeps(key):
                column = columns[key] = []
            if column is not None:
                column.extend([None] * (count - len(column)))
                column.append(value)

    def _keeps(self, key: str) -> bool:
        """Return whether a key becomes a column: all of the table, and the first others."""
        kept = self._is_column.get(key)
        if kept is None:
            is_used = key in self._source.columns.values() or key in self._contract.select_columns(pd.Index([key]))
            kept = self._is_column[key] = is_used or len(self._is_column) < MAX_COLUMNS
        return kept


def parse_object(text: str) -> tuple[Mapping[str, Any], str]:
    """Return the values of a line's object by dotted key, and why it is broken, else ""."""
    try:
        row = DECODER.decode(text)
        if not isinstance(row, dict):
            return {}, INVALID
        if "[" in text or text.count("{") > 1:
            row = _reject_repeated(list(_flatten(row)))
        if "\\ud" in text.lower():
            json.dumps(row, ensure_ascii=False).encode()  # raises ValueError for half a surrogate pair
    except (ValueError, KeyError, RecursionError):
        return {}, INVALID
    return (row, "") if "\\u0000" not in text else ({}, NUL)


def _flatten(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _reject_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a dictionary. Raises ValueError for a repeated key."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a repeated key")
    return row


# NaN, which some libraries write, is missing; infinity raises KeyError.
DECODER = json.JSONDecoder(object_pairs_hook=_reject_repeated, parse_constant={"NaN": None}.__getitem__)
