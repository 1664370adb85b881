"""The types of columns: how their values are parsed and checked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
from pandas.api.extensions import ExtensionDtype

from adloom.config.sources import ValueFormat
from adloom.data.context import MAX_ID_LENGTH
from adloom.data.privacy import normalise_user_id

LIST_SEPARATOR = "|"  # between the parts of a list in a CSV file
FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "y", "t"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "n", "f"), False),
}
EPOCHS: Mapping[str | None, Literal["s", "ms"]] = {"epoch_s": "s", "epoch_ms": "ms"}  # timestamp formats, numbers
STRINGS = pd.ArrowDtype(pyarrow.list_(pyarrow.string()))

Parsed = tuple[pd.Series, pd.Series]  # values, and whether each is unreadable


@dataclass(frozen=True)
class ColumnType:
    """How to parse a column, its dtype, and the checks of its values."""

    dtype: ExtensionDtype | str
    parse: Callable[[pd.Series, ValueFormat], Parsed]
    unreadable: str  # the reason to report
    checks: tuple[pa.Check, ...] = ()


def map_distinct(texts: pd.Series, function: Callable[[str], str]) -> pd.Series:
    """Return the function of each text, which is called once per distinct text; missing texts stay missing."""
    codes, distinct = texts.factorize()
    mapped = pd.Series([function(text) for text in np.asarray(distinct, object)], dtype="str")
    return mapped.reindex(codes).set_axis(texts.index)


def parse_text(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    """Return stripped text; blank text is missing."""
    del value_format
    values = raw.astype("str").str.strip()
    return values.mask(values == ""), pd.Series(False, raw.index)


def _parse_user_id(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    texts, unreadable = parse_text(raw, value_format)
    normal = map_distinct(texts, normalise_user_id)
    return normal.mask(normal == ""), unreadable


def _parse_number(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    del value_format
    numbers = pd.to_numeric(raw, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    return numbers, numbers.isna() & raw.notna()


def _parse_count(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    numbers, unreadable = _parse_number(raw, value_format)
    whole = numbers.mask(numbers % 1 != 0)
    return whole.astype("Int64"), unreadable | (whole.isna() & numbers.notna())


def _parse_flag(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    del value_format
    values = raw.astype("str").str.strip().str.lower().map(FLAGS)
    return values.astype("boolean"), values.isna() & raw.notna()


def parse_time(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    """Parse timestamps; those without a zone are UTC."""
    timestamp_format = value_format.timestamp_format
    if timestamp_format in EPOCHS:
        numbers = _parse_number(raw, value_format)[0]
        times = pd.to_datetime(numbers, unit=EPOCHS[timestamp_format], utc=True, errors="coerce")
        return times.astype("datetime64[us, UTC]"), times.isna() & raw.notna()
    times = pd.to_datetime(raw, format=timestamp_format or "ISO8601", utc=True, errors="coerce")
    return times.astype("datetime64[us, UTC]"), times.isna() & raw.notna()


def _parse_list(raw: pd.Series, value_format: ValueFormat) -> Parsed:
    del value_format
    parts = [_split_list(value) for value in raw]
    return pd.Series(parts, raw.index, STRINGS), pd.Series(False, raw.index)


def _split_list(value: object) -> list[str] | None:
    if isinstance(value, str):
        return _parse_json_list(value) or value.split(LIST_SEPARATOR)
    return [str(part) for part in value] if isinstance(value, list | tuple | np.ndarray) else None


def _parse_json_list(text: str) -> list[str] | None:
    try:
        parts = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else None


NOT_NEGATIVE = pa.Check.ge(0, error="negative")
NOT_LONG = pa.Check.str_length(max_value=MAX_ID_LENGTH, error=f"longer than {MAX_ID_LENGTH} characters")
TEXT = ColumnType("str", parse_text, "not text")
SHORT_TEXT = ColumnType("str", parse_text, "not text", (NOT_LONG,))
USER_ID = ColumnType("str", _parse_user_id, "not text", (NOT_LONG,))
PICTURE = ColumnType("object", lambda raw, _: (raw, pd.Series(False, raw.index)), "not a picture")
NUMBER = ColumnType("float64", _parse_number, "not a number", (NOT_NEGATIVE,))
COUNT = ColumnType("Int64", _parse_count, "not a whole number", (NOT_NEGATIVE,))
SHARE = ColumnType(
    "float64", _parse_number, "not a number", (pa.Check.in_range(0, 1, include_min=False, error="not in (0, 1]"),)
)
FLAG = ColumnType("boolean", _parse_flag, "neither true nor false")
TIME = ColumnType("datetime64[us, UTC]", parse_time, "not a date of the expected format")
LIST = ColumnType(STRINGS, _parse_list, "not a list")
