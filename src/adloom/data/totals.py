"""Rows of totals, which reports of advertising tools have below the data."""

from collections import Counter
from collections.abc import Hashable
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
VARIANTS = "variants?|variations?|versions?|creatives?|ads|groups"
ALL = rf"(?i)^[\s*]*(?:overall|all(?: (?:{VARIANTS}))?|alle(?: varianten)?)[\s*]*$"  # variants only
MIN_VALUES = 3  # of two values one may equal the other
MAX_LINES = 100_000  # of counts that are compared; results of A/B tests have fewer


@dataclass
class TotalCheck:
    """Finds rows that are named like a total, or have a value that is the sum of all others."""

    dropped: int = 0  # invalid rows that are named like a total
    names: Counter[str] = field(default_factory=Counter)  # valid rows by column and name
    values: int = 0
    sum: float = 0.0
    largest: float = 0.0
    impressions: Counter[Hashable] = field(default_factory=Counter)  # of aggregated rows by time and creative

    def find_invalid(self, raw: pd.DataFrame, reasons: pd.Series) -> pd.Series:
        """Return whether each row is invalid and named like a total in any column of text, and count them."""
        found = pd.Series(False, reasons.index)
        if len(invalid := raw.loc[reasons.index[reasons != ""]]):
            for name in invalid.columns[[pd.api.types.is_string_dtype(kind) for kind in invalid.dtypes]]:
                found[invalid.index[are_total_words(invalid[name], str(name))]] = True
        self.dropped += int(found.sum())
        return found

    def count(self, rows: pd.DataFrame, user_ids: pd.Series) -> None:
        """Count valid rows; `user_ids` are those before they become pseudonyms."""
        for name in ID_COLUMNS:
            if name in rows:
                texts = user_ids if name == "user_id" else rows[name]
                self.names.update(f"{name} {text}" for text in texts[are_total_words(texts, name)])
        if "value" in rows and (values := rows["value"].dropna().to_numpy(np.float64)).size:
            self.values += int((values > 0).sum())
            self.sum += float(values.sum())
            self.largest = max(self.largest, float(values.max()))
        if "weight" in rows and len(self.impressions) <= MAX_LINES:
            weights = rows.dropna(subset="weight").groupby(["timestamp", "creative_id"])["weight"].sum()
            self.impressions.update(dict(weights.items()))

    def warnings(self) -> list[str]:
        """Return which rows look like totals."""
        notes = [f"rows that are named like a total were dropped: {self.dropped}"] if self.dropped else []
        for name, count in sorted(self.names.items()):
            notes.append(f"{name} looks like a total (rows: {count}); remove it from the source if it is one")
        if self.values >= MIN_VALUES and np.isclose(2 * self.largest, self.sum, rtol=1e-9, atol=0):
            notes.append(f"value {self.largest:g} is the sum of all others; remove its row if it is a total")
        return notes + [
            f"creative_id {name}: its impressions are the sum of all others at the same time; remove its rows if they "
            "are totals"
            for name in self._find_sums()
        ]

    def _find_sums(self) -> list[str]:
        """Return the creatives with as many impressions as all others together, whenever they have any."""
        if not self.impressions or len(self.impressions) > MAX_LINES:
            return []
        lines = pd.Series(self.impressions).unstack()  # (time, creative)
        lines = lines[lines.notna().sum(axis=1) >= MIN_VALUES]
        sums = (2 * lines).eq(lines.sum(axis=1), axis=0).sum()
        return [*sums.index[(sums > 0) & (sums == lines.count())]]


def are_total_words(column: pd.Series, name: str) -> BoolArray:
    """Return whether each text is a word for a total, or begins with one before a colon, bracket or dash."""
    texts = pyarrow.array(column, pyarrow.string())
    matches = pc.match_substring_regex(texts, f"{TOTAL}|{ALL}" if name == "creative_id" else TOTAL)
    return np.asarray(pc.fill_null(matches, False), np.bool_)
