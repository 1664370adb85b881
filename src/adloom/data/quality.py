"""Counts of valid, invalid and dropped rows of a table, and warnings."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import pandas as pd

from adloom.data.context import REFUND
from adloom.data.privacy import USER_TABLES
from adloom.data.splits import HASH_SPLITS

MIN_CATEGORIES = 2  # a model cannot learn from fewer
SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})
MAX_REPEATED = 0.2  # share of events that may equal an earlier one, as two equal items of a basket do
MAX_EXAMPLES = 3  # rows that a message names
EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
MAX_VALUE_LENGTH = 80  # characters of an example's value: of a path the last
MIN_SIMILARITY = 0.75  # of a dropped column's name to that of a contract column


class Check(Protocol):
    """A check of a table's rows."""

    def warnings(self) -> list[str]:
        """Return what needs a look."""
        ...


@dataclass
class Quality:
    """Counts over the chunks of one table."""

    table: str
    source_warnings: tuple[str, ...] = ()  # about the files
    read: int = 0
    duplicates: int = 0  # valid rows that repeat an earlier row's content
    category_conflicts: int = 0  # pictures that repeat one of another category
    conflicting_ids: list[str] = field(default_factory=list)  # the first of them
    splits: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)  # by reason
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    invalid: Counter[str] = field(default_factory=Counter)  # valid rows that are marked as invalid traffic, by reason
    refunds: int = 0
    bots: list[str] = field(default_factory=list)  # users with a large share of the table: the start of their pseudonym
    currencies: Counter[str] = field(default_factory=Counter)  # valid rows with a value, before its conversion
    examples: dict[str, list[str]] = field(default_factory=dict)  # of quarantined rows, by reason
    columns_dropped: list[str] = field(default_factory=list)
    columns_absent: list[str] = field(default_factory=list)  # of the contract
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    first_read: pd.Timestamp | None = None  # of all rows with a time, also broken ones
    last_read: pd.Timestamp | None = None
    erasure: dict[str, int] | None = None  # ids of the erasure list, and of them those with rows
    checks: list[Check] = field(default_factory=list)  # of which the warnings are reported too

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

    def count_category_conflicts(self, ids: pd.Series) -> None:
        """Count pictures that repeat one of another category, and remember the first."""
        self.category_conflicts += len(ids)
        self.conflicting_ids = [*self.conflicting_ids, *ids][:MAX_EXAMPLES]

    def count_times(self, timestamps: pd.Series) -> None:
        """Note the first and last time of all rows."""
        if timestamps.notna().any():
            self.first_read = min(self.first_read or timestamps.min(), timestamps.min())
            self.last_read = max(self.last_read or timestamps.max(), timestamps.max())

    def count_invalid(self, quarantine: pd.DataFrame, numbers: Sequence[int]) -> None:
        """Count quarantined rows by reason, and keep examples; `numbers` are the rows' in the source, from 1."""
        counts = count_values(quarantine["reason"])
        self.quarantined.update(counts)
        for reason in counts:
            examples = self.examples.setdefault(reason, [])
            for position in np.flatnonzero(quarantine["reason"] == reason)[: MAX_EXAMPLES - len(examples)]:
                row = quarantine.iloc[position]
                place = f"row {numbers[position]}" if pd.isna(row.get("place")) else row["place"]
                examples.append(f"{place}{_format_value(row, self.table)}")

    def is_broken(self, max_quarantine_rate: float) -> bool:
        """Return whether too many rows are invalid, or none is left."""
        broken = self.quarantined.total()
        return not self.kept or broken / (self.kept + broken) > max_quarantine_rate

    def describe_failure(self, max_quarantine_rate: float) -> str:
        """Return why the rows cannot be used, with examples."""
        broken = self.quarantined.total()
        if self.kept:
            problem = (
                f"{broken} of {self.kept + broken} rows are broken, above prepare.max_quarantine_rate "
                f"{max_quarantine_rate:g}: {_format_counts(self.quarantined)}"
            )
        else:
            problem = f"no row is left of {self.read}: {_format_counts(self.quarantined + self.dropped)}"
        days = f"; the data is from {self._format_days()}" if self._has_late_rows() else ""
        return f"{self.table}: {problem}{days}{self._format_examples()}"

    def _has_late_rows(self) -> bool:
        return any(reason.startswith("timestamp: not before") for reason in self.quarantined)

    def _format_days(self) -> str:
        return f"{self.first_read:%Y-%m-%d} to {self.last_read:%Y-%m-%d}" if self.first_read else "no day"

    def _format_examples(self) -> str:
        """Return an example of each frequent reason, then more of them."""
        reasons = [reason for reason, _ in _sort_by_count(self.quarantined)]
        rounds = [self.examples.get(reason, [])[turn : turn + 1] for turn in range(MAX_EXAMPLES) for reason in reasons]
        examples = [example for found in rounds for example in found][:MAX_EXAMPLES]
        return f"; for example {', '.join(examples)}" if examples else ""

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
            **({"erasure_list": self.erasure} if self.erasure is not None else {}),
            "duplicates": self.duplicates,
            "refunds": self.refunds,
            **({"invalid_traffic": _sort_by_name(self.invalid)} if self.invalid else {}),
            **({"bots": self.bots} if self.bots else {}),
            "currencies": _sort_by_name(self.currencies),
            "categories": _sort_by_name(self.categories),
            "dates": {"first": self.first.isoformat(), "last": self.last.isoformat()}
            if self.first and self.last
            else None,
            "warnings": self.warnings(),
        }

    def warnings(self) -> list[str]:
        """Return what needs a look although the rows are valid."""
        own = [
            *self.source_warnings,
            *self._list_misspelt_columns(),
            *self._check_erasure_list(),
            *self._check_splits(),
            *self._check_traffic(),
        ]
        return own + [warning for check in self.checks for warning in check.warnings()]

    def _list_misspelt_columns(self) -> list[str]:
        matches = {
            name: get_close_matches(_simplify(name), self.columns_absent, 1, MIN_SIMILARITY)
            for name in self.columns_dropped
        }
        return [
            f"column {name!r} is dropped; if it means {match[0]}, set ingest.{self.table}.columns.{match[0]}"
            for name, match in matches.items()
            if match
        ]

    def _check_erasure_list(self) -> list[str]:
        if self.erasure is None:
            return []
        ids, matched = self.erasure["ids"], self.erasure["with_rows"]
        if not ids:
            return ["prepare.erasure_list: no ids in the file"]
        return [f"prepare.erasure_list: {ids - matched} of {ids} ids have no row"] if matched < ids else []

    def _check_traffic(self) -> list[str]:
        if not self.invalid:
            return []
        marked = f"{self.invalid.total()} of {self.kept} rows are marked as invalid traffic, which policies leave out"
        return [f"{marked}: {_format_counts(self.invalid)}; prepare.invalid_traffic has the rules"]

    def _check_splits(self) -> list[str]:
        notes = []
        if self.table == "creatives" and len(self.categories) < MIN_CATEGORIES:
            notes.append(f"one category only ({next(iter(self.categories), '')}): no model can tell categories apart")
        if self.table == "creatives" and self.categories and {name.lower() for name in self.categories} <= SPLIT_NAMES:
            names = ", ".join(sorted(self.categories))
            notes.append(
                f"categories named {names}: if they are splits, set ingest.creatives.columns.category to $folder"
            )
        if self.table == "events" and self.duplicates > self.kept * MAX_REPEATED:
            notes.append(
                f"rows that repeat an earlier one: {self.duplicates} of {self.kept}; was a part exported twice?"
            )
        if self.category_conflicts:
            examples = ", ".join(self.conflicting_ids)
            notes.append(f"pictures that repeat one of another category: {self.category_conflicts}, such as {examples}")
        if self.first is not None and len(self.splits) < 2:
            notes.append(
                f"all rows are in {next(iter(self.splits))}: the data is from {self._format_days()}; "
                f"set prepare.{self.table}.holdout_start to a day between"
            )
        if self.kept and self.first is None and (empty := [split for split in HASH_SPLITS if split not in self.splits]):
            notes.append(f"no row is in {' or '.join(empty)} (rows: {self.kept}); training needs more different rows")
        return notes


def count_values(column: pd.Series) -> dict[str, int]:
    """Return how often each text occurs; missing values do not count."""
    return {str(text): int(count) for text, count in column.value_counts().items()}


def _format_value(row: pd.Series, table: str) -> str:
    """Return the column that a row's reason begins with, and its value, if there is one; else the file of a picture."""
    column = row["reason"].partition(":")[0]
    if table == "creatives" and pd.isna(row.get(column)):
        column = "creative_id"
    value = row.get(column)
    if pd.isna(value):
        return ""
    text = EMAIL.sub("…@…", str(value)) if table in USER_TABLES else str(value)  # of a line whose columns are shifted
    return f" {column} {text[-MAX_VALUE_LENGTH:]!r}"


def _sort_by_name(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in _sort_by_count(counts))


def _sort_by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _simplify(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
