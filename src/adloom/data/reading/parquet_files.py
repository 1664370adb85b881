"""Reader of Parquet files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adloom.config.sources import Source
from adloom.data.contracts import CONTRACTS
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks, translate_errors
from adloom.data.values import LIST, PICTURE, TIME
from adloom.errors import DataError

BUFFER = 1 << 20  # bytes of a column that are read at once; Arrow would buffer, and keep, all row groups
CONTROL = r"[\x00-\x08\x0e-\x1f\x7f]"  # characters that no text holds


class ParquetReader:
    """
    Reads Parquet files: the columns of the table, and others unless they are lists, binary or in a struct.

    A field of a struct is a column such as `user.id`. A binary column is text if all its values in all files are, else
    hex.
    """

    def __init__(self, paths: Sequence[Path], source: Source, table: str) -> None:
        self._source, self._contract = source, CONTRACTS[table]
        columns = {source.columns.get(name, name): column.kind for name, column in self._contract.columns.items()}
        self._image = next((name for name, kind in columns.items() if kind is PICTURE), None)
        self._times = {name for name, kind in columns.items() if kind is TIME} - source.constants.keys()
        self._lists = {name for name, kind in columns.items() if kind is LIST}
        self._hex = frozenset(name for path in paths for name in self._find_hex_columns(path))

    def __call__(self, path: Path) -> Chunks:
        """Yield the rows of a file."""
        with _open(path) as file:
            kinds = self._choose_columns(file.schema_arrow)
            self._reject_types(kinds, path)
            for batch in file.iter_batches(_rows_per_batch(file.metadata, kinds), columns=[*kinds]):
                columns = {name: self._simplify(values, name, path) for name, values in _flatten(batch).items()}
                rows = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)  # integers stay integers
                yield rows if columns else pd.DataFrame(index=range(len(batch)))

    def _choose_columns(self, schema: pa.Schema) -> dict[str, pa.DataType]:
        """Return the types of the columns to read."""
        own = {*self._contract.select_columns(pd.Index(schema.names))} - self._source.columns.keys()
        used = (own - self._source.constants.keys()).union(self._source.columns.values())
        others = {
            field.name: field.type for field in schema if not (pa.types.is_nested(field.type) or _is_binary(field.type))
        }
        return others | {name: kind for name, kind in _list_fields(schema) if name in used}

    def _reject_types(self, kinds: Mapping[str, pa.DataType], path: Path) -> None:
        for name, kind in kinds.items():
            if pa.types.is_struct(kind):
                fields = ", ".join(f"{name}.{field.name}" for field in kind)
                raise DataError(f"{path}: column {name} is a struct; name one of its fields under `columns`: {fields}")
            if pa.types.is_nested(kind) and name not in self._lists:
                raise DataError(f"{path}: column {name} is {kind}, expected one value a row")
            if name in self._times and (step := _explain_time_type(kind)):
                raise DataError(f"{path}: column {name} is {kind}, expected a time with its date; {step}")

    def _find_hex_columns(self, path: Path) -> Iterator[str]:
        with _open(path) as file:
            for name, kind in self._choose_columns(file.schema_arrow).items():
                if _is_binary(kind) and name != self._image and not _is_text(file, name):
                    yield name

    def _simplify(self, values: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
        """Return a column as numbers, times, text, bytes of pictures, or lists of text."""
        if values.type == pa.uuid():
            return _convert_each(values, str)
        if isinstance(values.type, pa.BaseExtensionType):
            values = pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if name == self._image and _is_binary(values.type):
            return values.cast(pa.large_binary())
        if name in self._hex:
            return _convert_each(values, bytes.hex)
        try:
            return values.cast(_choose_type(values.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"{path}: column {name} is {values.type}; write it as text or a number") from None


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file that is read in pieces. Raises DataError for a damaged one, also while it is read."""
    with translate_errors(path):
        if not path.stat().st_size:
            raise DataError(f"{path}: 0 bytes, an export that did not finish; write the file again or delete it")
        options = {"buffer_size": BUFFER, "pre_buffer": False, "coerce_int96_timestamp_unit": "us"}
        with pq.ParquetFile(path, **options) as file:
            names = file.schema_arrow.names
            if repeated := {name for name in names if names.count(name) > 1}:
                raise DataError(f"{path}: more than one column {', '.join(sorted(repeated))}; rename one")
            yield file


def _rows_per_batch(metadata: pq.FileMetaData, names: Iterable[str]) -> int:
    """Return how many rows of some columns, decompressed, fit a chunk."""
    roots = {name.partition(".")[0] for name in names}
    bytes_per_row = 1.0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema.partition(".")[0] in roots)
        bytes_per_row = max(bytes_per_row, size / max(group.num_rows, 1))
    return max(1, min(ROWS_PER_CHUNK, int(BYTES_PER_CHUNK / bytes_per_row)))


def _is_binary(kind: pa.DataType) -> bool:
    of_any_size = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(of_any_size or pa.types.is_fixed_size_binary(kind))


def _list_fields(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield names and types of columns, and of the fields of structs below them."""
    for field in fields:
        yield prefix + field.name, field.type
        if pa.types.is_struct(field.type):
            yield from _list_fields(field.type, f"{prefix}{field.name}.")


def _flatten(batch: pa.RecordBatch) -> dict[str, pa.ChunkedArray]:
    """Return columns by name, with fields of structs as columns."""
    table = pa.Table.from_batches([batch])
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return dict(zip(table.column_names, table.columns, strict=True))


def _convert_each(values: pa.ChunkedArray, convert: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if value is None else convert(value) for value in values.to_pylist()], pa.string())


def _is_text(file: pq.ParquetFile, name: str) -> bool:
    try:
        batches = file.iter_batches(ROWS_PER_CHUNK, columns=[name])
        texts = (_flatten(batch)[name].cast(pa.string()) for batch in batches)
        return not any(pc.any(pc.match_substring_regex(text, CONTROL)).as_py() for text in texts)
    except pa.ArrowInvalid:
        return False


def _explain_time_type(kind: pa.DataType) -> str:
    """Return the next step for a type that holds no exact time with its date, else ""."""
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return "it rounds seconds since 1970 to minutes; export it as int64, float64 or timestamp"
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return "add the date and export it as timestamp"
    return ""


def _choose_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that the contracts' parsers take."""
    if pa.types.is_nested(kind):
        return pa.list_(pa.string())  # of a list
    if _is_binary(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.float32() if pa.types.is_float16(kind) else kind
