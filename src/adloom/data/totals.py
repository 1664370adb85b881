"""Rows of totals, which reports of advertising tools have below the data."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from adloom.arrays import BoolArray

ID_COLUMNS = ("user_id", "item_id", "creative_id", "placement")
WORDS = (
    *("(?:grand |sub-?)?totals?", "total (?:general|général)", "sum", "somme", "suma", "totale", "totaal", "toplam"),
    *("(?:zwischen)?summe", "gesamt(?:summe|ergebnis)?", "insgesamt", "Σ", "∑", "всего", "итого"),
    *("合计", "总计", "合計", "総計", "총계", "합계"),
)
TOTAL = rf"(?i)^[\s*]*(?:{'|'.join(WORDS)})[\s*.]*(?:[:(\x2d].*)?$"  # "Total: Campaigns" too
MIN_VALUES = 3  # of two values one may equal the other


@dataclass
class TotalCheck:
    """Finds rows that are named like a total, or have a value that is the sum of all others."""

    dropped: int = 0  # invalid rows that are named like a total
    names: Counter[str] = field(default_factory=Counter)  # valid rows by column and name
    values: int = 0
    sum: float = 0.0
    largest: float = 0.0

    def find_invalid(self, raw: pd.DataFrame, reasons: pd.Series) -> pd.Series:
        """Return whether each row is invalid and named like a total in any column of text, and count them."""
        found = pd.Series(False, reasons.index)
        if len(invalid := raw.loc[reasons.index[reasons != ""]]):
            for name in invalid.columns[[pd.api.types.is_string_dtype(kind) for kind in invalid.dtypes]]:
                found[invalid.index[are_total_words(invalid[name])]] = True
        self.dropped += int(found.sum())
        return found

    def count(self, rows: pd.DataFrame, user_ids: pd.Series) -> None:
        """Count valid rows; `user_ids` are those before they become pseudonyms."""
        for name in ID_COLUMNS:
            if name in rows:
                texts = user_ids if name == "user_id" else rows[name]
                self.names.update(f"{name} {text}" for text in texts[are_total_words(texts)])
        if "value" in rows and (values := rows["value"].dropna().to_numpy(np.float64)).size:
            self.values += int((values > 0).sum())
            self.sum += float(values.sum())
            self.largest = max(self.largest, float(values.max()))

    def warnings(self) -> list[str]:
        """Return which rows look like totals."""
        notes = [f"rows that are named like a total were dropped: {self.dropped}"] if self.dropped else []
        for name, count in sorted(self.names.items()):
            notes.append(f"{name} looks like a total (rows: {count}); remove it from the source if it is one")
        if self.values >= MIN_VALUES and np.isclose(2 * self.largest, self.sum, rtol=1e-9, atol=0):
            notes.append(f"value {self.largest:g} is the sum of all others; remove its row if it is a total")
        return notes


def are_total_words(column: pd.Series) -> BoolArray:
    """Return whether each text begins with a word for a total, alone or before a colon, bracket or dash."""
    matches = pc.match_substring_regex(pyarrow.array(column, pyarrow.string()), TOTAL)
    return np.asarray(pc.fill_null(matches, False), np.bool_)
