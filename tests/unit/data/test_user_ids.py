"""Ids that a spreadsheet has changed, or that are numbers in two ways, are worth a warning; others are not."""

import pandas as pd
import pyarrow as pa
import pytest

from adloom.data.user_ids import UserIdCheck


def warnings(*ids: str | None) -> list[str]:
    check = UserIdCheck()
    for number in ids:  # the size of chunks does not matter
        check.count(pd.Series([number], dtype="str"))
    whole = UserIdCheck()
    whole.count(pd.Series(ids, dtype="str"))
    assert check.warnings() == whole.warnings()
    return check.warnings()


@pytest.mark.parametrize("number", ["1.23457E+11", "1,23457E+11", "1e+20", "4.2e1", "-1.5E+15"])
def test_shortened_numbers_are_counted(number: str) -> None:
    assert ["such as 1.23457E+11 (rows: 1)" in text for text in warnings("ann", number)] == [True]


@pytest.mark.parametrize("number", ["1e5", "3e12", "12e4", "ann", "1.5", "E+11", None, "0", "10", "a0042"])
def test_other_ids_are_not(number: str | None) -> None:
    assert warnings(number, "b7") == []


def test_numbers_with_and_without_leading_zeros_are_two_ways() -> None:
    assert ["such as 042 and 42" in text for text in warnings("042", "42")] == [True]
    assert warnings("0042", "1234", "0001") == []
    assert warnings("42", "7", "0") == []


def test_long_ids_that_all_end_in_zeros_were_rounded() -> None:
    ids = [f"{number:015}" for number in range(100_000_000_000_000, 100_000_000_000_012)]
    assert len(warnings(*[f"{number}0000" for number in ids])) == 1
    assert warnings(*[f"{number}0000" for number in ids], ids[0] + "0001") == []
    assert warnings(*[f"{number}0000" for number in ids[:3]]) == []


@pytest.mark.parametrize(("kind", "largest"), [(pa.float64(), 2.0**53), (pa.float32(), 2.0**24)])
def test_numbers_that_their_column_rounds_are_counted(kind: pa.DataType, largest: float) -> None:
    check = UserIdCheck()
    check.count_inexact(pd.Series([largest, 42.0, None], dtype=pd.ArrowDtype(kind)))
    check.count_inexact(pd.Series([2**60], dtype=pd.ArrowDtype(pa.int64())))
    assert check.warnings() == []
    check.count_inexact(pd.Series([largest * 2], dtype=pd.ArrowDtype(kind)))
    assert ["rounds long ids (rows: 1)" in text for text in check.warnings()] == [True]
