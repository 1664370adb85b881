"""A table of which every number may mean another is refused; repeated local times are counted."""

import pandas as pd
import pytest
from tests.support.raw_tables import EVENT, frame

from adloom.config.value_formats import ValueFormat
from adloom.data import contracts
from adloom.data.format_checks import FormatCheck
from adloom.errors import DataError


def check(value_format: ValueFormat, *chunks: pd.DataFrame) -> FormatCheck:
    """Return a check that has seen some chunks of events."""
    seen = FormatCheck("events", value_format)
    for raw in chunks:
        seen.count(raw, contracts.validate(raw, "events", value_format)[0])
    return seen


def priced(*values: str) -> pd.DataFrame:
    return frame(EVENT, *({"value": value} for value in values))


@pytest.mark.parametrize(
    ("values", "meanings"),
    [
        (["1.234", "2.000", "950"], "1.234 may mean 1234"),
        (["950", "-12.345.678"], "-12.345.678 may mean -12345678"),
        (["1.234", "12,50"], "1.234 may mean 1234"),
        (["(1.234)"], "-1.234 may mean -1234"),
    ],
)
def test_a_point_that_may_separate_thousands_is_refused(values: list[str], meanings: str) -> None:
    seen = check(ValueFormat(), *(priced(value) for value in values))
    with pytest.raises(DataError, match=f"events: value: {meanings}; set ingest.events.thousands"):
        seen.require_clear()


@pytest.mark.parametrize(
    "values", [["1.234", "2.5"], ["0.125"], ["1.2345"], ["1.5e3"], ["950", "1000"], ["1.", "2.000"]]
)
def test_a_decimal_sign_beyond_doubt_is_read(values: list[str]) -> None:
    check(ValueFormat(), *(priced(value) for value in values)).require_clear()
    check(ValueFormat(), priced(*values)).require_clear()


def test_files_that_write_numbers_in_two_ways_are_warned_of() -> None:
    for chunks in ((["1.234", "2.345"], ["1234.56"]), (["1234.56"], ["1.234", "2.345"])):
        (warning,) = check(ValueFormat(), *(priced(*values) for values in chunks)).warnings()
        assert warning.startswith(
            "value: 1.234 may mean 1234, and other rows have decimals; write all numbers in one way"
        )
    assert check(ValueFormat(decimal="."), priced("1.234"), priced("1234.56")).warnings() == []


def test_a_stated_sign_or_a_typed_number_is_read() -> None:
    for value_format in (ValueFormat(decimal="."), ValueFormat(thousands="."), ValueFormat(thousands=",")):
        check(value_format, priced("1.234")).require_clear()
    check(ValueFormat(), priced("1").assign(value=[1.234])).require_clear()


def test_other_text_decides_nothing() -> None:
    with pytest.raises(DataError):
        check(ValueFormat(), priced("1.234", "n.v.", "1.2.3", "")).require_clear()


def test_quantities_are_refused_too() -> None:
    seen = check(ValueFormat(), frame(EVENT, {"quantity": "2.000"}))
    with pytest.raises(DataError, match="quantity: 2.000 may mean 2000"):
        seen.require_clear()


def test_symbols_of_two_currencies_are_refused() -> None:
    euros = ValueFormat(currency_symbols=["EUR", "\u20ac"])
    check(euros, priced("5 EUR", "\u20ac6.5"), priced("7")).require_clear()
    both = ValueFormat(currency_symbols=["$", "US$", "\u20ac"])
    check(both, priced("$5", "US$6.5")).require_clear()
    check(both, priced("$5", "\u20ac6.5").assign(currency=["USD", "EUR"])).require_clear()
    with pytest.raises(DataError, match="events: numbers with symbols of EUR, USD; write the currency of each row"):
        check(both, priced("$5"), priced("\u20ac6.5")).require_clear()


def test_repeated_times_are_counted_over_chunks() -> None:
    times = [frame(EVENT, {"timestamp": "2026-10-25T02:30:00"}, {"timestamp": "2026-10-25T03:30:00"})] * 2
    assert check(ValueFormat(timezone="Europe/Berlin"), *times).warnings() == [
        "timestamp: 2 local times exist twice, because clocks in Europe/Berlin were set back; the first is taken"
    ]
    assert check(ValueFormat(), *times).warnings() == []
