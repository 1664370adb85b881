"""Reader of Parquet files."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adloom.config.sources import Source
from adloom.data.contracts import CONTRACTS
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks, translate_errors
from adloom.errors import DataError

BUFFER = 1 << 20  # bytes of a column that are read at once
CONTROL = r"[\x00-\x08\x0e-\x1f\x7f]"  # characters that no text holds


class ParquetReader:
    """
    Reads Parquet files: the columns of the table, and others unless they are nested or binary.

    A binary column is text if all its values in all files are, else hex.
    """

    def __init__(self, paths: Sequence[Path], source: Source, table: str) -> None:
        self._source, self._contract = source, CONTRACTS[table]
        self._image = source.columns.get("image", "image") if table == "creatives" else None
        self._hex = frozenset(name for path in paths for name in self._find_hex_columns(path))

    def __call__(self, path: Path) -> Chunks:
        """Yield the rows of a file."""
        with _open(path) as file:
            names = self._choose_columns(file.schema_arrow)
            for batch in file.iter_batches(_rows_per_batch(file), columns=names):
                columns = {name: self._simplify(batch.column(name), name, path) for name in batch.schema.names}
                rows = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)  # integers stay integers
                yield rows if columns else pd.DataFrame(index=range(len(batch)))

    def _choose_columns(self, schema: pa.Schema) -> list[str]:
        used = {*self._source.columns.values(), *self._contract.select_columns(pd.Index(schema.names))}
        return [field.name for field in schema if field.name in used or not _is_bulky(field.type)]

    def _find_hex_columns(self, path: Path) -> Iterator[str]:
        with _open(path) as file:
            for name in self._choose_columns(file.schema_arrow):
                if _is_binary(file.schema_arrow.field(name).type) and name != self._image and not _is_text(file, name):
                    yield name

    def _simplify(self, values: pa.Array, name: str, path: Path) -> pa.Array:
        """Return a column as numbers, times, text, bytes of pictures, or lists of text."""
        if isinstance(values, pa.ExtensionArray):
            if values.type == pa.uuid():
                return pa.array(
                    [None if value is None else str(uuid.UUID(bytes=value)) for value in values.storage.to_pylist()],
                    pa.string(),
                )
            values = values.storage
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if name == self._image and _is_binary(values.type):
            return values.cast(pa.large_binary())
        if pa.types.is_fixed_size_binary(values.type) or name in self._hex:
            return pa.array([None if value is None else value.hex() for value in values.to_pylist()], pa.string())
        target = _choose_type(values.type)
        try:
            return values.cast(target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"{path}: column {name} is {values.type}; write it as text, a number or a list") from None


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file that is read in pieces. Raises DataError for a damaged one, also while it is read."""
    with translate_errors(path):
        if not path.stat().st_size:
            raise DataError(f"{path}: 0 bytes, an export that did not finish; write the file again or delete it")
        options = {"buffer_size": BUFFER, "coerce_int96_timestamp_unit": "us"}
        with pq.ParquetFile(path, **options) as file:
            names = file.schema_arrow.names
            if repeated := {name for name in names if names.count(name) > 1}:
                raise DataError(f"{path}: more than one column {', '.join(sorted(repeated))}; rename one")
            yield file


def _rows_per_batch(file: pq.ParquetFile) -> int:
    """Return how many rows of a file, decompressed, fit a chunk."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    bytes_per_row = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return max(1, min(ROWS_PER_CHUNK, int(BYTES_PER_CHUNK / max(bytes_per_row, 1))))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_bulky(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) or _is_binary(kind) or bool(pa.types.is_fixed_size_binary(kind))


def _is_text(file: pq.ParquetFile, name: str) -> bool:
    try:
        texts = (batch.column(0).cast(pa.string()) for batch in file.iter_batches(ROWS_PER_CHUNK, columns=[name]))
        return not any(pc.any(pc.match_substring_regex(text, CONTROL)).as_py() for text in texts)
    except pa.ArrowInvalid:
        return False


def _choose_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that the contracts' parsers take."""
    if pa.types.is_nested(kind):
        return pa.list_(pa.string())  # of a list
    if _is_binary(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.float32() if pa.types.is_float16(kind) else kind
