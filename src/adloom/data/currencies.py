"""Currencies: values of one table are in one currency, or converted into it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from adloom.data.quality import count_values
from adloom.errors import DataError


@dataclass
class CurrencyConverter:
    """Converts values into one currency, and counts values by currency."""

    table: str
    target: str | None  # None: values stay, and must be in one currency
    rates: Mapping[str, float]  # value of one unit in the target
    counts: Counter[str] = field(default_factory=Counter)  # valid rows with a value, as they were

    def __call__(self, rows: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
        """Return rows with converted values; a value in an unknown currency is a reason."""
        currency = rows["currency"]
        priced = rows["value"].notna() & currency.notna()
        if self.target is not None:
            rates = currency.map({**self.rates, self.target: 1.0}).astype("float64")
            unknown = priced & rates.isna()
            reasons = reasons.mask((reasons == "") & unknown, "currency: not in prepare.currency_rates")
            rows = rows.assign(
                value=rows["value"].where(~priced, rows["value"] * rates),
                currency=currency.mask(rates.notna(), self.target),
            )
        self.counts.update(count_values(currency[priced & (reasons == "")]))
        return rows, reasons

    def require_one(self) -> None:
        """Raise DataError for values in several currencies."""
        if self.target is None and len(self.counts) > 1:
            counts = ", ".join(f"{name} ({count})" for name, count in sorted(self.counts.items()))
            raise DataError(
                f"{self.table}: values in {counts}; set prepare.currency to one of them, and prepare.currency_rates to "
                "the value of one unit of each other in it"
            )
