"""Records of text files and spreadsheets as chunks of rows under the file's column names."""

import datetime
import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from adloom.config.sources import Source
from adloom.config.value_formats import PLAIN_FORMAT, ValueFormat
from adloom.data.contracts import CONTRACTS, PARSE_ERROR, PLACE
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks, FileFormatError
from adloom.errors import DataError

Record = tuple[int, list[Any], str, int]  # number of the first line, fields, why it is broken (else ""), size
ROWS_PER_BLOCK = 500  # lists alive at once; Python's garbage collector is slow with many
LOOKAHEAD = 50  # records that may hold the header
SEPARATORS = ",;\t|\x01"
CONTRACT_NAMES = {name for contract in CONTRACTS.values() for name in contract.columns}
REPEATED_HEADER = "line: the header again"


def build_chunks(records: Iterator[Record], path: Path, source: Source, separator: str = "") -> Chunks:
    """Yield the records below the header as rows; a broken record keeps only its error and its place."""
    first = list(itertools.islice(records, LOOKAHEAD))
    if first:
        header = _read_header(first, path, source, separator)
        rows = itertools.chain(first[1:], records)
        while len(chunk := _read_chunk(rows, header, path.name, source)):
            yield chunk


def _read_header(first: Sequence[Record], path: Path, source: Source, separator: str) -> list[str]:
    """Return the column names; an unnamed column has "". Raises DataError where they are no header."""
    spellings = {_simplify_name(name): name for name in source.columns.values()}
    names = [spellings.get(_simplify_name(name), name) for name in _clean_names(first[0][1])]
    wanted = CONTRACT_NAMES | set(source.columns.values())
    if names and not wanted & set(names):
        _reject_other_separator(names, first, path, separator)
        _reject_preamble(first, path, source, wanted)
    if not names:
        raise DataError(f"{path}: {first[0][2]}, expected the columns' names in line {first[0][0]}; set `skip_rows`")
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise DataError(f"{path}: column {', '.join(repeated)} stands twice; rename one of them")
    return names


def _simplify_name(name: str) -> str:
    """Return a name without differences that nobody sees: of Unicode forms and of blanks."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _clean_names(fields: Sequence[Any]) -> list[str]:
    names = ["" if field is None else to_text(field, PLAIN_FORMAT).strip() for field in fields]
    while names and not names[-1]:
        names.pop()
    return names


def _reject_other_separator(names: Sequence[str], first: Sequence[Record], path: Path, separator: str) -> None:
    """Raise DataError for a single column that another separator splits."""
    if not separator or len(names) != 1:
        return
    texts = [" ".join(fields) for _, fields, _, _ in first]
    for other in SEPARATORS.replace(separator, ""):
        if other in names[0] or sum(other in text for text in texts) * 2 > len(texts):
            key = f"separator: {json.dumps(other)}"
            raise FileFormatError(f"{path}: one column, {names[0]!r}, where {other!r} may separate more; set `{key}`")


def _reject_preamble(first: Sequence[Record], path: Path, source: Source, wanted: set[str]) -> None:
    """Raise DataError if a later line names wanted columns, or the first lines are narrower than the others."""
    rows = [(number, _clean_names(fields)) for number, fields, _, _ in first]
    matches = [len(wanted & set(names)) for _, names in rows]
    widths = Counter(len(names) for _, names in rows)
    common_width = max(widths, key=lambda width: (widths[width], width))
    best = matches.index(max(matches))
    if not max(matches) and len(rows[0][1]) < common_width:
        best = next(i for i, (_, names) in enumerate(rows) if len(names) == common_width)
    if best:
        number, names = rows[best]
        raise FileFormatError(
            f"{path}: no column {', '.join(source.columns.values()) or 'of the table'} in line {rows[0][0]}, but line "
            f"{number} looks like the header ({', '.join(names[:5])}); set `skip_rows: {number - 1}`"
        )


def _read_chunk(records: Iterator[Record], header: Sequence[str], name: str, source: Source) -> pd.DataFrame:
    """Return the next rows, as many as fit into a chunk."""
    width, size, count = len(header), 0, 0
    columns: list[list[Any]] = [[] for _ in header]
    faults: dict[int, tuple[str, str]] = {}
    while count < ROWS_PER_CHUNK and size < BYTES_PER_CHUNK:
        rows: list[list[Any]] = []
        for number, fields, broken, length in itertools.islice(records, min(ROWS_PER_BLOCK, ROWS_PER_CHUNK - count)):
            error = broken or ("" if len(fields) == width and fields != header else _describe_fault(fields, header))
            if error:
                faults[count + len(rows)] = error, f"{name} line {number}"
            rows.append([None] * width if error else fields[:width])
            size += length
            if size > BYTES_PER_CHUNK:
                break
        if not rows:
            break
        count += len(rows)
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    return build_frame(dict(zip(header, columns, strict=True)), count, faults, source)


def _describe_fault(fields: Sequence[Any], header: Sequence[str]) -> str:
    if fields == header:
        return REPEATED_HEADER
    if len(fields) > len(header) and not _clean_names(fields[len(header) :]):
        return ""
    return f"line: {len(fields)} fields, expected {len(header)}"


def build_frame(
    columns: Mapping[str, Sequence[Any]], count: int, faults: Mapping[int, tuple[str, str]], source: Source
) -> pd.DataFrame:
    """Return named columns as a frame, with the error and the place of the broken rows among them."""
    arrays = {name: build_column(values, source) for name, values in columns.items() if name}
    if faults:
        for position, name in enumerate((PARSE_ERROR, PLACE)):
            values = [faults[row][position] if row in faults else None for row in range(count)]
            arrays[name] = pa.array(values, pa.string())
    frame: pd.DataFrame = pa.table(arrays).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def build_column(values: Sequence[Any], value_format: ValueFormat) -> pa.Array:
    """Return values of one type as they are, else as the source writes text; empty text is missing."""
    present = [None if value == "" else value for value in values]
    try:
        return pa.array(present)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else to_text(value, value_format) for value in present], pa.string())


def to_text(value: Any, value_format: ValueFormat) -> str:
    """Return a value as a source would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value).replace(".", value_format.decimal_sign)
    if isinstance(value, datetime.datetime):
        pattern = None if value_format.epoch_unit else value_format.timestamp_format
        return value.strftime(pattern) if pattern else value.isoformat()
    return str(value)
