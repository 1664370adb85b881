"""Raw columns become arrays of plain types, and their values text."""

import decimal
import math

import pandas as pd
import pyarrow as pa
import pytest

from adloom.data.arrow_columns import clear_nulls, to_arrow, to_text


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pd.Series(["a", None], dtype="str"), ["a", None]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series([1, "a", None], dtype="object"), ["1", "a", None]),
        (pd.Series([1.5, math.nan]), [1.5, None]),
        (pd.Series(pd.arrays.ArrowExtensionArray(pa.array([math.nan, 1.0]))), [None, 1.0]),
        (pd.Series(pd.arrays.ArrowExtensionArray(pa.array([7, None]).dictionary_encode())), [7, None]),
    ],
)
def test_a_column_becomes_an_array(column: pd.Series, values: list[object]) -> None:
    assert to_arrow(column).to_pylist() == values


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([42.0, 1.5, 1e20, None]), ["42", "1.5", "1e+20", None]),
        (pa.array([decimal.Decimal("42.00"), decimal.Decimal("10.50")]), ["42", "10.50"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([[1], None]), ["[1]", None]),
        (pa.nulls(1), [None]),
    ],
)
def test_values_as_text(array: pa.Array, texts: list[str | None]) -> None:
    assert to_text(array).to_pylist() == texts


def test_null_values_are_missing_without_the_white_space_around_them() -> None:
    texts = pa.array([" - ", "a ", "\xa0", None, "--"])
    assert clear_nulls(texts, ["-"]).to_pylist() == [None, "a", None, None, "--"]
