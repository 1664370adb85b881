"""Names that are probably one name in several spellings."""

from dataclasses import dataclass, field

import pandas as pd

from adloom.data.splits import normalise_text

COLUMNS = ("category", "event", "placement")
MAX_NAMES = 1000  # per column that are compared
MAX_EXAMPLES = 3  # that a warning names


@dataclass
class SpellingCheck:
    """Finds names that differ only in letter case, Unicode form or blanks."""

    _spellings: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {name: {} for name in COLUMNS})

    def count(self, rows: pd.DataFrame) -> None:
        """Look at the names of some valid rows."""
        for column, spellings in self._spellings.items():
            if column in rows:
                for text in rows[column].dropna().unique()[:MAX_NAMES]:
                    if len(spellings) < MAX_NAMES:
                        spellings.setdefault(normalise_text(text), set()).add(text)

    def warnings(self) -> list[str]:
        """Return which names have several spellings."""
        return [note for column in COLUMNS for note in self._describe(column)]

    def _describe(self, column: str) -> list[str]:
        several = [sorted(texts) for _, texts in sorted(self._spellings[column].items()) if len(texts) > 1]
        if not several:
            return []
        examples = ", ".join(" and ".join(map(repr, texts)) for texts in several[:MAX_EXAMPLES])
        note = f"{column}: names that differ only in letter case, Unicode form or blanks count as different names"
        return [f"{note}: {len(several)}, such as {examples}"]
