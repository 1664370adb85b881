"""Values of one table are in one currency, by rates if need be."""

import pandas as pd
import pytest
from tests.support.raw_tables import EVENT, frame

from adloom.data import contracts
from adloom.data.currencies import CurrencyConverter
from adloom.errors import DataError

MIXED = frame(EVENT, {"value": "10", "currency": "eur"}, {"value": "-5", "currency": "USD"}, {"value": None})


def convert(converter: CurrencyConverter, raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    rows, reasons = converter(*contracts.validate(raw, "events"))
    return rows, list(reasons)


def test_values_are_converted_by_their_rates() -> None:
    converter = CurrencyConverter("events", "EUR", {"USD": 0.5})
    rows, reasons = convert(converter, MIXED)
    assert rows["value"].tolist()[:2] == [10, -2.5]
    assert rows["currency"].tolist()[:2] == ["EUR", "EUR"]
    assert rows["value"].isna()[2]
    assert reasons == ["", "", ""]
    assert converter.counts == {"EUR": 1, "USD": 1}
    converter.require_one()


def test_a_currency_without_a_rate_breaks_the_row() -> None:
    rows, reasons = convert(CurrencyConverter("events", "EUR", {"GBP": 2.0}), MIXED)
    assert reasons == ["", "currency: not in prepare.currency_rates", ""]
    assert rows["value"].isna()[1]


def test_mixed_currencies_without_rates_are_refused() -> None:
    converter = CurrencyConverter("events", None, {})
    rows, reasons = convert(converter, MIXED)
    assert rows["value"].tolist()[:2] == [10, -5]
    assert reasons == ["", "", ""]
    with pytest.raises(DataError, match=r"events: values in EUR \(1\), USD \(1\); set prepare.currency to one"):
        converter.require_one()


def test_one_currency_or_none_needs_no_rate() -> None:
    for raw in (MIXED[:1], MIXED.drop(columns="currency")):
        for target in (None, "EUR"):
            converter = CurrencyConverter("events", target, {})
            rows, reasons = convert(converter, raw)
            assert rows["value"][0] == 10
            assert set(reasons) == {""}
            converter.require_one()


def test_a_value_without_its_currency_breaks_the_row() -> None:
    raw = frame(EVENT, {"currency": ""}, {"currency": "", "value": ""}, {"currency": "EUR"}, {"currency": "\u20ac"})
    unknown = "currency: not a code of ISO 4217 such as EUR"
    assert list(contracts.validate(raw, "events")[1]) == ["currency: missing", "", "", unknown]
