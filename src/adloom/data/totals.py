"""Rows of totals, which reports of advertising tools have below the data."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

ID_COLUMNS = ("user_id", "item_id", "creative_id", "placement")
TOTAL_WORDS = {
    *("total", "totals", "grand total", "subtotal", "sub-total", "sum", "summe", "zwischensumme", "gesamt"),
    *("gesamtsumme", "gesamtergebnis", "insgesamt", "total general", "total général", "somme", "suma", "totale"),
    *(
        "totaal",
        "toplam",
        "всего",
        "итого",
        "合计",
        "总计",
        "合計",
        "総計",
        "총계",
        "합계",
        "\N{GREEK SMALL LETTER SIGMA}",
        "∑",
    ),
}
MIN_VALUES = 3  # of two values one may equal the other


@dataclass
class TotalCheck:
    """Finds rows that are named like a total, or have a value that is the sum of all others."""

    names: Counter[str] = field(default_factory=Counter)  # rows by column and name
    values: int = 0
    sum: float = 0.0
    largest: float = 0.0

    def count(self, rows: pd.DataFrame, user_ids: pd.Series) -> None:
        """Count valid rows; `user_ids` are those before they become pseudonyms."""
        texts = {"user_id": user_ids, **{name: rows[name] for name in ID_COLUMNS[1:] if name in rows}}
        for name, column in texts.items():
            self.names.update(f"{name} {text.strip()}" for text in column[are_total_words(column)])
        if "value" in rows and (values := rows["value"].dropna().to_numpy(np.float64)).size:
            self.values += int((values > 0).sum())
            self.sum += float(values.sum())
            self.largest = max(self.largest, float(values.max()))

    def warnings(self) -> list[str]:
        """Return which rows look like totals."""
        notes = [f"{name}: {count} rows look like a total; remove them" for name, count in sorted(self.names.items())]
        if self.values >= MIN_VALUES and np.isclose(2 * self.largest, self.sum, rtol=1e-9, atol=0):
            notes.append(
                f"value: {self.largest:g} of one row is the sum of all others; remove the row if it is a total"
            )
        return notes


def are_total_words(column: pd.Series) -> pd.Series:
    """Return whether each text is a word for a total."""
    words = column.str.strip(" :*-.\t").str.lower()
    return words.isin(TOTAL_WORDS)
