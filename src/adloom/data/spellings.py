"""Names that are probably one name in several spellings."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from adloom.data.splits import normalise_text

COLUMNS = ("category", "event", "placement", "item_id")
MAX_NAMES = 100_000  # per column that are compared; of more, the first
MAX_EXAMPLES = 3  # that a warning names


@dataclass
class SpellingCheck:
    """Finds names that differ only in letter case, Unicode form or blanks."""

    _names: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in COLUMNS})

    def count(self, rows: pd.DataFrame) -> None:
        """Look at the names of some valid rows."""
        for column, names in self._names.items():
            if column in rows and len(names) < MAX_NAMES:
                names.update(np.asarray(rows[column].dropna().unique()[: MAX_NAMES - len(names)], object))

    def warnings(self) -> list[str]:
        """Return which names have several spellings."""
        return [note for column in COLUMNS for note in self._describe(column)]

    def _describe(self, column: str) -> list[str]:
        spellings: dict[str, list[str]] = {}
        for text in sorted(self._names[column]):
            spellings.setdefault(normalise_text(text), []).append(text)
        several = [texts for _, texts in sorted(spellings.items()) if len(texts) > 1]
        if not several:
            return []
        examples = ", ".join(" and ".join(map(repr, texts)) for texts in several[:MAX_EXAMPLES])
        note = f"{column}: names that differ only in letter case, Unicode form or blanks count as different names"
        return [f"{note}: {len(several)}, such as {examples}"]
