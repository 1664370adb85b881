"""Counts of valid, invalid and dropped rows of a table, and warnings."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from adloom.data.context import REFUND
from adloom.errors import DataError

MIN_CATEGORIES = 2  # a model cannot learn from fewer
EXAMPLES = 3  # rows that a warning names


@dataclass
class Quality:
    """Counts over the chunks of one table."""

    table: str
    source_warnings: tuple[str, ...] = ()  # about the files
    read: int = 0
    duplicates: int = 0  # valid rows that repeat an earlier row's content
    recategorised: int = 0  # pictures that repeat one of another category
    recategorised_ids: list[str] = field(default_factory=list)  # the first of them
    splits: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)  # by reason
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    refunds: int = 0
    columns_dropped: list[str] = field(default_factory=list)
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None

    @property
    def kept(self) -> int:
        """Rows kept."""
        return self.splits.total()

    def count_valid(self, rows: pd.DataFrame) -> None:
        """Count valid rows by `split`, category and time."""
        self.splits.update(count_values(rows["split"]))
        if "category" in rows:
            self.categories.update(count_values(rows["category"]))
        if "event" in rows:
            self.refunds += int((rows["event"] == REFUND).sum())
        if "timestamp" in rows and len(rows):
            first, last = rows["timestamp"].min(), rows["timestamp"].max()
            self.first = min(self.first or first, first)
            self.last = max(self.last or last, last)

    def add_recategorised(self, ids: pd.Series) -> None:
        """Count pictures that repeat one of another category, and remember the first."""
        self.recategorised += len(ids)
        self.recategorised_ids = [*self.recategorised_ids, *ids][:EXAMPLES]

    def require_rows(self, max_quarantine_rate: float) -> None:
        """Raise DataError when too many rows are invalid or none is left."""
        broken = self.quarantined.total()
        total = self.kept + broken
        if total and broken / total > max_quarantine_rate:
            raise DataError(
                f"{self.table}: {broken} of {total} rows are broken, above prepare.max_quarantine_rate "
                f"{max_quarantine_rate:g}: {_format_counts(self.quarantined)}; correct the source or raise the rate"
            )
        if not self.kept:
            raise DataError(
                f"{self.table}: no row is left of {self.read}: {_format_counts(self.quarantined + self.dropped)}; "
                "correct the source or remove it from `ingest`"
            )

    def row_counts(self) -> dict[str, int]:
        """Return the row counts of the manifest: per split, quarantined and dropped."""
        return {
            **dict(sorted(self.splits.items())),
            "quarantined": self.quarantined.total(),
            "dropped": self.dropped.total(),
        }

    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        return {
            "table": self.table,
            "rows": {"read": self.read, "kept": self.kept, **self.row_counts()},
            "quarantined": _sort_by_name(self.quarantined),
            "dropped": _sort_by_name(self.dropped),
            "columns_dropped": self.columns_dropped,
            "duplicates": self.duplicates,
            "refunds": self.refunds,
            "categories": _sort_by_name(self.categories),
            "dates": {"first": self.first.isoformat(), "last": self.last.isoformat()}
            if self.first and self.last
            else None,
            "warnings": self.warnings(),
        }

    def warnings(self) -> list[str]:
        """Return warnings about the source and the valid rows."""
        notes = list(self.source_warnings)
        if self.table == "creatives" and len(self.categories) < MIN_CATEGORIES:
            notes.append(f"one category only ({next(iter(self.categories), '')}): no model can tell categories apart")
        if self.recategorised:
            examples = ", ".join(self.recategorised_ids)
            notes.append(f"{self.recategorised} pictures repeat one of another category, such as {examples}")
        if self.first is not None and len(self.splits) < 2:
            notes.append(f"every row is in {next(iter(self.splits))}: prepare.{self.table}.holdout_start cuts nothing")
        return notes


def count_values(column: pd.Series) -> dict[str, int]:
    """Return how often each text occurs; missing values do not count."""
    return {str(text): int(count) for text, count in column.value_counts().items()}


def _sort_by_name(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
