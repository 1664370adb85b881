"""The types of columns: how their values are parsed and checked."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc
from pandas.api.extensions import ExtensionDtype

from adloom.arrays import BoolArray
from adloom.config.value_formats import NULL_WORDS, ValueFormat
from adloom.data.arrow_columns import clear_nulls, is_text, to_arrow, to_text
from adloom.data.context import MAX_ID_LENGTH
from adloom.data.numbers import explain_numbers, may_have_groups, parse_number
from adloom.data.privacy import normalise_user_id
from adloom.data.times import explain_times, parse_time

LIST_SEPARATOR = "|"  # between the parts of a list in a CSV file
FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "y", "t"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "n", "f"), False),
}
STRINGS = pyarrow.list_(pyarrow.string())
MAX_LINE_LENGTH = 2000  # characters of a line of copy
MAX_COUNT = 2**53  # a float holds all whole numbers below

_SPECIAL_ID = r"[^!-~]|\.0+$|[0-9a-fA-F-]{32}"  # only such user ids have another normal form

Parsed = tuple[Any, BoolArray]  # values, and whether each is unreadable


@dataclass(frozen=True)
class ColumnType:
    """How to parse a column, its dtype, and the checks of its values."""

    dtype: ExtensionDtype | str
    parse: Callable[[pyarrow.Array, ValueFormat], Parsed]
    unreadable: str  # the reason to report
    checks: tuple[pa.Check, ...] = ()
    explain: Callable[[pyarrow.Array, ValueFormat], list[str]] | None = None  # the next step for unreadable texts
    null_words: bool = True  # whether NULL and the like are missing values by default

    def parse_column(self, raw: pd.Series, value_format: ValueFormat) -> tuple[pd.Series, pd.Series]:
        """Return parsed values, and per row why its value is unreadable, else ""."""
        if self is PICTURE:
            return raw, pd.Series("", raw.index, "str")
        values = self.clean(raw, value_format)
        parsed, unreadable = self.parse(values, value_format)
        column = pd.Series(parsed).set_axis(raw.index).astype(self.dtype)  # type: ignore[arg-type]
        return column, self._explain(values, unreadable, value_format).set_axis(raw.index)

    def clean(self, raw: pd.Series, value_format: ValueFormat) -> pyarrow.Array:
        """Return a raw column as an array; texts that mean a missing value are missing."""
        values = to_arrow(raw)
        null_values = value_format.null_values
        if null_values is None:
            null_values = list(NULL_WORDS) if self.null_words else []
        return clear_nulls(values, null_values) if is_text(values) else values

    def _explain(self, values: pyarrow.Array, unreadable: BoolArray, value_format: ValueFormat) -> pd.Series:
        if not unreadable.any():
            return pd.Series("", range(len(values)), "str")
        reasons = np.full(len(values), "", object)
        texts = to_text(values.filter(pyarrow.array(unreadable)))
        steps = self.explain(texts, value_format) if self.explain else [""] * len(texts)
        reasons[unreadable] = ["; ".join(filter(None, (self.unreadable, step))) for step in steps]
        return pd.Series(reasons, dtype="str")


def map_distinct(texts: pd.Series, function: Callable[[str], str]) -> pd.Series:
    """Return the function of each text, which is called once per distinct text; missing texts stay missing."""
    codes, distinct = texts.factorize()
    mapped = pd.Series([function(text) for text in np.asarray(distinct, object)], dtype="str")
    return mapped.reindex(codes).set_axis(texts.index)


def _parse_text(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    del value_format
    texts = values if is_text(values) else to_text(values)
    return texts.to_pandas(), np.zeros(len(texts), bool)


def _parse_user_id(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    texts, unreadable = _parse_text(values, value_format)
    special = texts.str.contains(_SPECIAL_ID).fillna(False).astype("bool")
    if special.any():
        normal = map_distinct(texts[special], normalise_user_id)
        texts = texts.where(~special, normal.mask(normal == ""))
    return texts, unreadable


def _parse_currency(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    texts, unreadable = _parse_text(values, value_format)
    return texts.str.upper(), unreadable


def _parse_count(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    numbers, unreadable = parse_number(values, value_format)
    fractional = (numbers % 1 != 0) | (np.abs(numbers) > MAX_COUNT)
    if is_text(values):
        fractional |= may_have_groups(values, value_format)
    return np.where(fractional, np.nan, numbers), unreadable | (fractional & ~np.isnan(numbers))


def _explain_counts(texts: pyarrow.Array, value_format: ValueFormat) -> list[str]:
    groups, steps = may_have_groups(texts, value_format), explain_numbers(texts, value_format)
    return ['set decimal: "." or thousands: "."' if may else step for may, step in zip(groups, steps, strict=True)]


def _parse_flag(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    texts = _parse_text(values, value_format)[0]
    flags = texts.str.lower().map(FLAGS).astype("boolean")
    return flags, (flags.isna() & texts.notna()).to_numpy()


def _parse_list(values: pyarrow.Array, value_format: ValueFormat) -> Parsed:
    del value_format
    lists = _split_texts(values) if is_text(values) else _cast_lists(values)
    holed = pc.list_parent_indices(lists).filter(pc.is_null(pc.list_flatten(lists)))
    lists = pc.if_else(pc.is_in(pyarrow.array(np.arange(len(lists))), holed.cast(pyarrow.int64())), None, lists)
    unreadable = pc.and_(lists.is_null(), values.is_valid())
    return pd.arrays.ArrowExtensionArray(lists), unreadable.to_numpy(zero_copy_only=False)


def _split_texts(texts: pyarrow.Array) -> pyarrow.Array:
    encoded = texts.dictionary_encode()
    lists = pyarrow.array([_split_list(text) for text in encoded.dictionary.to_pylist()], STRINGS)
    return lists.take(encoded.indices)


def _split_list(text: str) -> list[str] | None:
    """Return the parts of a JSON list or of text with separators; None for another text that begins with a bracket."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()]
    try:
        parts = json.loads(text)
    except ValueError:
        return None
    named = isinstance(parts, list) and all(type(part) in (str, int) for part in parts)
    return [str(part).strip() for part in parts] if named else None


def _cast_lists(values: pyarrow.Array) -> pyarrow.Array:
    types = pyarrow.types
    if not (types.is_list(values.type) or types.is_large_list(values.type) or types.is_fixed_size_list(values.type)):
        return pyarrow.nulls(len(values), STRINGS)
    parts = to_arrow(
        pd.Series(pd.arrays.ArrowExtensionArray(values.cast(pyarrow.list_(values.type.value_type)).values))
    )
    lists = values.cast(pyarrow.list_(values.type.value_type))
    return pyarrow.ListArray.from_arrays(lists.offsets, to_text(parts), mask=lists.is_null())


NOT_NEGATIVE = pa.Check.ge(0, error="negative")
NOT_LONG = pa.Check.str_length(max_value=MAX_ID_LENGTH, error=f"longer than {MAX_ID_LENGTH} characters")
TEXT = ColumnType("str", _parse_text, "not text")
FREE_TEXT = ColumnType("str", _parse_text, "not text", null_words=False)
LINE = ColumnType(
    "str",
    _parse_text,
    "not text",
    (pa.Check.str_length(max_value=MAX_LINE_LENGTH, error=f"longer than {MAX_LINE_LENGTH:,} characters"),),
    null_words=False,
)
SHORT_TEXT = ColumnType("str", _parse_text, "not text", (NOT_LONG,))
USER_ID = ColumnType("str", _parse_user_id, "not text", (NOT_LONG,))
CURRENCY = ColumnType(
    "str",
    _parse_currency,
    "not text",
    (pa.Check.str_matches("^[A-Z]{3}$", error="not a code of ISO 4217 such as EUR"),),
)
PICTURE = ColumnType("object", _parse_text, "not a picture")
SIGNED_NUMBER = ColumnType("float64", parse_number, "not a number", explain=explain_numbers)
NUMBER = ColumnType("float64", parse_number, "not a number", (NOT_NEGATIVE,), explain_numbers)
COUNT = ColumnType("Int64", _parse_count, "not a whole number", (NOT_NEGATIVE,), _explain_counts)
WEIGHT = ColumnType("Int64", _parse_count, "not a whole number", (pa.Check.ge(1, error="below 1"),), _explain_counts)
SHARE = ColumnType(
    "float64",
    parse_number,
    "not a number",
    (pa.Check.in_range(0, 1, include_min=False, error="not in (0, 1]"),),
    explain_numbers,
)
FLAG = ColumnType("boolean", _parse_flag, "neither true nor false")
TIME = ColumnType("datetime64[us, UTC]", parse_time, "not a date of the expected format", explain=explain_times)
LIST = ColumnType(pd.ArrowDtype(STRINGS), _parse_list, "not a list of names")
