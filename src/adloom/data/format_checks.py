"""Checks of a whole table for values that its source may mean otherwise."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from adloom.config.value_formats import ValueFormat
from adloom.data.arrow_columns import is_text
from adloom.data.contracts import CONTRACTS
from adloom.data.numbers import find_currencies, find_decimals
from adloom.data.times import count_ambiguous
from adloom.data.values import NUMBER, SIGNED_NUMBER, TIME
from adloom.errors import DataError


@dataclass
class FormatCheck:
    """Looks for points that may separate thousands, symbols of two currencies, and local times that exist twice."""

    table: str
    value_format: ValueFormat
    _groups: dict[str, str] = field(default_factory=dict)  # an example such as 1.234 by column
    _decimals: set[str] = field(default_factory=set)  # columns with numbers that have decimals beyond doubt
    _currencies: set[str] = field(default_factory=set)  # of symbols in numbers
    _ambiguous_times: Counter[str] = field(default_factory=Counter)  # by column

    def count(self, raw: pd.DataFrame, rows: pd.DataFrame) -> None:
        """Look at some raw rows and what was read from them."""
        for name, column in CONTRACTS[self.table].columns.items():
            if name in raw and column.kind in (NUMBER, SIGNED_NUMBER):
                self._look_at_numbers(name, raw)
            if name in raw and column.kind is TIME and self.value_format.timezone != "UTC":
                values = column.kind.clean(raw[name], self.value_format)
                self._ambiguous_times[name] += count_ambiguous(values, rows[name], self.value_format)

    def _look_at_numbers(self, name: str, raw: pd.DataFrame) -> None:
        stated = self.value_format.decimal is not None or self.value_format.thousands is not None
        if not stated:
            self._look_for_groups(name, NUMBER.clean(raw[name], self.value_format))
        if len(self.value_format.currency_symbols) > 1 and "currency" not in raw:
            values = NUMBER.clean(raw[name], self.value_format)
            self._currencies |= find_currencies(values, self.value_format) if is_text(values) else set()

    def _look_for_groups(self, name: str, values: pa.Array) -> None:
        if is_text(values):
            decided, example = find_decimals(values, self.value_format)
            if decided:
                self._decimals.add(name)
            elif example is not None:
                self._groups.setdefault(name, example)

    def require_clear(self) -> None:
        """Raise DataError for a column in which every point may separate thousands, or symbols of two currencies."""
        if len(self._currencies) > 1:
            raise DataError(
                f"{self.table}: numbers with symbols of {', '.join(sorted(self._currencies))}; "
                "write the currency of each row in a column `currency`"
            )
        for name, example in self._groups.items():
            if name not in self._decimals:
                key = f"ingest.{self.table}"
                raise DataError(
                    f"{self.table}: {name}: {example} may mean {example.replace('.', '')}; "
                    f'set {key}.thousands: "." if it does, else {key}.decimal: "."'
                )

    def warnings(self) -> list[str]:
        """Return which numbers may have two meanings, and which times exist twice."""
        mixed = [
            f"{name}: {example} may mean {example.replace('.', '')}, and other rows have decimals; write all "
            f"numbers in one way, or set ingest.{self.table}.decimal"
            for name, example in self._groups.items()
            if name in self._decimals
        ]
        return mixed + [
            f"{name}: {count} local times exist twice, because clocks in {self.value_format.timezone} were set back; "
            "the first is taken"
            for name, count in self._ambiguous_times.items()
            if count
        ]
