"""Rename the columns of files to the contract's, and notice files whose columns differ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import pandas as pd
import pyarrow as pa

from adloom.config.sources import Source
from adloom.data.aggregates import COUNTS, are_aggregated, expand_counts, reject_unmapped
from adloom.data.contracts import CONTRACTS, FAULT_COLUMNS
from adloom.errors import DataError

SIMILAR = 0.85  # of difflib; names above it are taken for misspelt


@dataclass
class FileColumns:
    """The columns that some files share."""

    kinds: Mapping[str, str]  # kind of value by contract column
    others: frozenset[str]  # columns outside the contract
    path: str  # of the first of these files
    files: int = 1


class ColumnMapper:
    """Renames the columns of one source's files."""

    def __init__(self, source: Source, table: str) -> None:
        self._source, self._table, self._contract = source, table, CONTRACTS[table]
        names = [*source.columns, *source.constants]
        self._is_aggregated = table == "impressions" and are_aggregated(names, f"ingest.{table}")
        names = [name for name in names if not self._is_aggregated or name not in COUNTS]
        self._contract.reject_unknown(names, f"ingest.{table}")
        self._seen: list[FileColumns] = []
        self._path: str | None = None  # of the last file

    def rename(self, chunk: pd.DataFrame, path: str) -> pd.DataFrame:
        """
        Return a chunk of a file under the contract's names, with the source's constants.

        Raises DataError for a missing column, and for one that is misspelt in one of several files.
        """
        label = self._label(path)
        rows = _rename_columns(chunk, self._source.columns, label)
        if path != self._path:
            self._path = path
            self._compare(rows, path)
        if self._is_aggregated:
            rows = expand_counts(rows, self._source)
        rows = rows.assign(**self._source.constants)
        if self._table == "impressions":
            reject_unmapped(rows, label)
        self._contract.require_columns(rows.columns, label)
        return rows

    def warnings(self) -> list[str]:
        """Return warnings about columns that some files lack, or whose kind of value differs."""
        names = sorted({name for seen in self._seen for name in seen.kinds})
        return [note for name in names for note in self._describe_differences(name)]

    def _compare(self, rows: pd.DataFrame, path: str) -> None:
        known = [name for name in self._contract.select_columns(rows.columns) if name in rows]
        kinds = {name: _describe_kind(rows[name].dtype) for name in known}
        new = FileColumns(kinds, frozenset(map(str, rows.columns)) - {*known, *FAULT_COLUMNS}, path)
        for seen in self._seen:
            if (seen.kinds, seen.others) == (new.kinds, new.others):
                seen.files += 1
                return
            self._reject_misspelt(seen, new)
            self._reject_misspelt(new, seen)
        self._seen.append(new)

    def _reject_misspelt(self, with_column: FileColumns, without: FileColumns) -> None:
        for name in with_column.kinds.keys() - without.kinds.keys() - self._source.constants.keys():
            if match := _find_similar(name, without.others - with_column.others):
                raise DataError(
                    f"{self._label(without.path)}: no column {name}, which {with_column.path} has, but {match}; "
                    "give both files the same column"
                )

    def _describe_differences(self, name: str) -> list[str]:
        lacking = [seen for seen in self._seen if name not in seen.kinds]
        kinds = {seen.kinds[name]: seen.path for seen in self._seen if seen.kinds.get(name)}
        notes = []
        if lacking and name not in self._source.constants:
            files, total = sum(seen.files for seen in lacking), sum(seen.files for seen in self._seen)
            notes.append(f"column {name} is missing in {files} of {total} files, first in {lacking[0].path}")
        if len(kinds) > 1:
            notes.append(f"column {name} differs: " + ", ".join(f"{kind} in {path}" for kind, path in kinds.items()))
        return notes

    def _label(self, path: str) -> str:
        uri = self._source.uri
        return f"{uri if not path or uri.endswith(path) else f'{uri}: {path}'} (ingest.{self._table})"


def _rename_columns(chunk: pd.DataFrame, columns: Mapping[str, str], label: str) -> pd.DataFrame:
    missing = [f"{theirs!r} for {ours}" for ours, theirs in columns.items() if theirs not in chunk]
    if missing:
        present = ", ".join(str(c) for c in chunk.columns if c not in FAULT_COLUMNS)
        raise DataError(f"{label}: no column {', '.join(missing)}; the source has {present}; change `columns`")
    renamed = chunk[list(columns.values())].set_axis(list(columns), axis=1)
    others = chunk.drop(columns=[c for c in chunk if c in columns or c in columns.values()])
    return pd.concat([renamed, others], axis=1)


def _find_similar(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like another, without regard to case."""
    by_lower = {other.lower(): other for other in sorted(names)}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=SIMILAR)
    return by_lower[matches[0]] if matches else None


def _describe_kind(dtype: object) -> str:
    """Return the kind of a column's values, "" for a column without values."""
    arrow = dtype.pyarrow_dtype if isinstance(dtype, pd.ArrowDtype) else pa.string()
    kinds = {
        "": pa.types.is_null(arrow),
        "a number": pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow),
        "a time": pa.types.is_temporal(arrow),
        "true or false": pa.types.is_boolean(arrow),
        "a list": pa.types.is_nested(arrow),
    }
    return next((kind for kind, matches in kinds.items() if matches), "text")
