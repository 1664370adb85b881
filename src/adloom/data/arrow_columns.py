"""Columns of raw tables as Arrow arrays, and their values as text."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_EXACT = 2.0**63  # whole numbers of a float below this are 64-bit integers


def to_arrow(column: pd.Series) -> pa.Array:
    """Return a raw column as an array, without dictionaries, views and NaN."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):  # Arrow converts it by a deprecated method
        column = column.astype(pd.ArrowDtype(pa.timestamp(column.dtype.unit, str(column.dtype.tz))))
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several types
        array = pa.array(
            [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
        )
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    return array.cast(pa.string()) if is_text(array) else array


def is_text(array: pa.Array) -> bool:
    """Return whether values are text."""
    kind = array.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def clear_nulls(texts: pa.Array, null_values: Sequence[str]) -> pa.Array:
    """Return text without white space around it; blank text and null values are missing."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.is_in(trimmed, pa.array(["", *null_values])), None, trimmed)


def to_text(array: pa.Array) -> pa.Array:
    """Return values as text; whole numbers have no decimals in any type."""
    if pa.types.is_floating(array.type):
        return _floats_to_text(array)
    if pa.types.is_decimal(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), r"\.0+$", "")
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())


def _floats_to_text(array: pa.Array) -> pa.Array:
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), _EXACT))
    integers = pc.if_else(whole, array, None).cast(pa.int64())
    return pc.if_else(whole, integers.cast(pa.string()), array.cast(pa.string()))
