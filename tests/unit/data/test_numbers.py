"""Numbers of every notation are the number meant, or unreadable."""

import decimal
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.config.value_formats import ValueFormat
from adloom.data.numbers import explain_numbers, parse_number

PLAIN = ValueFormat()
GERMAN = ValueFormat(decimal=",", thousands=".")
ENGLISH = ValueFormat(thousands=",")


def parse(text: str, value_format: ValueFormat = PLAIN) -> float | None:
    """Return the number, None if the text is unreadable."""
    numbers, unreadable = parse_number(pa.array([text]), value_format)
    assert math.isnan(numbers[0]) == unreadable[0]
    return None if unreadable[0] else float(numbers[0])


@pytest.mark.parametrize(
    ("text", "value_format", "number"),
    [
        ("950", PLAIN, 950),
        ("-.5", PLAIN, -0.5),
        ("1.234", PLAIN, 1.234),  # prepare refuses a column of such numbers
        ("1e3", PLAIN, 1000),
        ("\u221212.50", PLAIN, -12.5),
        ("12.50-", PLAIN, -12.5),
        ("(12.50)", PLAIN, -12.5),
        ("- 3", PLAIN, -3),
        ("5.-", PLAIN, 5),
        ("1.234,-", GERMAN, 1234),
        ("5,\u2014", GERMAN, 5),
        ("1.234", GERMAN, 1234),
        ("1.234.567,89", GERMAN, 1234567.89),
        ("12,50", GERMAN, 12.5),
        ("950", GERMAN, 950),
        ("(1.234,5)", GERMAN, -1234.5),
        ("1.234", ValueFormat(thousands="."), 1234),
        ("12,5", ValueFormat(decimal=","), 12.5),
        ("1,234.56", ENGLISH, 1234.56),
        ("12,34,567.8", ENGLISH, 1234567.8),  # lakhs
        ("1\u202f234,5", ValueFormat(decimal=",", thousands=" "), 1234.5),
        ("1\xa0234", ValueFormat(thousands=" "), 1234),
        ("1\u2019234.5", ValueFormat(thousands="'"), 1234.5),
        ("\u20ac 1,50 EUR", ValueFormat(decimal=",", currency_symbols=["\u20ac", "EUR"]), 1.5),
        ("$-1.50", ValueFormat(currency_symbols=["$"]), -1.5),
        ("($1.50)", ValueFormat(currency_symbols=["$"]), -1.5),
    ],
)
def test_a_number_is_read_as_the_source_means_it(text: str, value_format: ValueFormat, number: float) -> None:
    assert parse(text, value_format) == number


@pytest.mark.parametrize(
    ("text", "value_format"),
    [
        ("1.5", GERMAN),
        ("1.23.45", GERMAN),
        ("1.234.56", GERMAN),
        ("12,50", ENGLISH),
        ("1,2,3", ENGLISH),
        ("1.5", ValueFormat(decimal=",")),
        ("1,2,3", ValueFormat(decimal=",")),
        *(
            (text, PLAIN)
            for text in ("1_000", "0x10", "inf", "-inf", "nan", "1e400", "--1", "(-1)", "1 2", "5,-", "\uff11")
        ),
    ],
)
def test_another_notation_is_no_number(text: str, value_format: ValueFormat) -> None:
    assert parse(text, value_format) is None


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("12,50", 'set decimal: "," or thousands: ","'),
        ("1,234.56", 'set decimal: "." and thousands: ","'),
        ("1.234,56", 'set decimal: "," and thousands: "."'),
        ("1,234,567", 'set thousands: ","'),
        ("1 234", 'set thousands: " "'),
        ("1'234", 'set thousands: "\'"'),
        ("\u20ac1.50", "set currency_symbols"),
        ("1.50 USD", "set currency_symbols"),
        ("12 %", "write 12% as 0.12"),
        ("many", ""),
        ("1_000", ""),
        ("#DIV/0!", "an error of a spreadsheet; correct the cell"),
    ],
)
def test_the_next_step_names_the_key(text: str, step: str) -> None:
    assert explain_numbers(pa.array([text]), PLAIN) == [step]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)),
        pa.array([decimal.Decimal("1.50"), None], pa.decimal256(50, 2)),
        pa.array([1.5, None], pa.float32()),
    ],
)
def test_typed_numbers_may_be_missing(values: pa.Array) -> None:
    numbers, unreadable = parse_number(values, GERMAN)
    assert numbers[0] == 1.5
    assert math.isnan(numbers[1])
    assert not unreadable.any()


def test_other_types() -> None:
    assert parse_number(pa.array([True, False]), PLAIN)[0].tolist() == [1, 0]
    assert parse_number(pa.array([2**64 - 1], pa.uint64()), PLAIN)[0].tolist() == [2.0**64]
    for values in (pa.array([math.inf]), pa.array([1], pa.timestamp("us")), pa.array([[1]])):
        assert parse_number(values, PLAIN)[1].tolist() == [True]


@given(st.decimals(-(10**9), 10**9, places=2), st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'")]))
def test_a_written_number_is_read_again(number: decimal.Decimal, signs: tuple[str, str]) -> None:
    text = f"{number:,}".translate({ord("."): signs[0], ord(","): signs[1]})
    value_format = ValueFormat.model_validate({"decimal": signs[0], "thousands": signs[1]})
    assert parse(text, value_format) == float(number)
