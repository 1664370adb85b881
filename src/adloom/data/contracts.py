"""The contracts of the five tables, and the reasons why rows are invalid."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc

from adloom.config.value_formats import PLAIN_FORMAT, ValueFormat
from adloom.data import attributes
from adloom.data.context import MAX_COLUMNS, MAX_LENGTH, NAME, PREFIX
from adloom.data.values import (
    COUNT,
    CURRENCY,
    FLAG,
    FREE_TEXT,
    LINE,
    LIST,
    NUMBER,
    PICTURE,
    SHARE,
    SHORT_TEXT,
    SIGNED_NUMBER,
    TEXT,
    TIME,
    USER_ID,
    WEIGHT,
    ColumnType,
)
from adloom.errors import ConfigError, DataError

RAW_TABLE = "rows_unchecked"  # what ingest writes and prepare reads
PARSE_ERROR = "broken_line"  # column of raw tables: why a line could not be parsed, else missing
PLACE = "broken_line_place"  # column of raw tables: file and number of a broken line
FAULT_COLUMNS = frozenset({PARSE_ERROR, PLACE})
USER_KEY = "user_key"  # column of raw tables: fingerprint of the key that made the row's user_id a pseudonym


@dataclass(frozen=True)
class Column:
    """A column of a contract."""

    kind: ColumnType
    meaning: str = ""
    required: bool = True  # otherwise the column may be absent and its values null


@dataclass(frozen=True)
class Contract:
    """The columns of a table. `key` names the rows; without it rows are numbered."""

    columns: Mapping[str, Column]
    key: str | None = None
    prefix: str = ""  # of text columns that a source may add

    @property
    def has_users(self) -> bool:
        """Whether rows belong to users, so that privacy applies."""
        return "user_id" in self.columns

    def select_columns(self, columns: pd.Index) -> list[str]:
        """Return a source's columns that belong to the contract, with those of its prefix."""
        return [*self.columns, *sorted(name for name in columns if self.prefix and _has_prefix(name, self.prefix))]

    def reject_unknown(self, names: Iterable[str], label: str) -> None:
        """Raise ConfigError for a name that is no column of the contract."""
        known = [*self.columns, *([f"{self.prefix}…"] if self.prefix else [])]
        for name in names:
            if name not in self.select_columns(pd.Index([name])):
                raise ConfigError(f"{label}: {name} is no column of the table; expected {', '.join(known)}")

    def require_columns(self, columns: pd.Index, label: str) -> None:
        """Raise DataError for a missing column or too many columns of the prefix."""
        missing = [name for name, c in self.columns.items() if c.required and name not in columns and name != self.key]
        if missing:
            raise DataError(
                f"{label}: no column for {', '.join(missing)}; the source has {', '.join(map(str, columns))}; "
                "name it under `columns` or set it under `constants`"
            )
        if (added := len(self.select_columns(columns)) - len(self.columns)) > MAX_COLUMNS:
            raise DataError(f"{label}: {added} columns {self.prefix}…, expected at most {MAX_COLUMNS}; leave some out")


def _has_prefix(column: str, prefix: str) -> bool:
    name = column.removeprefix(prefix)
    return name != column and 0 < len(name) <= MAX_LENGTH and re.search(NAME, name) is not None


USER_KEY_MEANING = "Fingerprint of the key under which `user_id` is a pseudonym already."
CURRENCY_MEANING = "Currency of `value`, such as EUR; a table has one."

CONTRACTS: Mapping[str, Contract] = {
    "creatives": Contract(
        {
            "creative_id": Column(TEXT, "Name of the picture; its path in a folder."),
            "category": Column(SHORT_TEXT, "What it shows, such as Bag."),
            "image": Column(PICTURE, "The picture; PNG bytes once it is prepared."),
            "text": Column(FREE_TEXT, "What it says, such as the headline of an ad.", required=False),
            "kind": Column(SHORT_TEXT, "`ad` for a composed ad, which no picture model learns from.", required=False),
        },
        key="creative_id",
        prefix=attributes.PREFIX,
    ),
    "copy": Contract(
        {
            "copy_id": Column(
                TEXT, "Name of the line, as `creative_id` of its impressions; the number of the row without one."
            ),
            "text": Column(LINE, "A line of advertising text."),
            "category": Column(SHORT_TEXT, "What it advertises.", required=False),
            "group": Column(TEXT, "Lines that share a split, such as the variants of one test.", required=False),
            "impressions": Column(COUNT, "How often the line was shown.", required=False),
            "clicks": Column(COUNT, "How often it was clicked.", required=False),
            "body": Column(
                FREE_TEXT, "Longer text with the line, such as the review that it heads; to learn from.", required=False
            ),
        },
        key="copy_id",
    ),
    "tunes": Contract(
        {
            "tune_id": Column(TEXT, "Name of the tune; the number of the row without one."),
            "title": Column(FREE_TEXT, "Its title.", required=False),
            "notation": Column(FREE_TEXT, "The tune in ABC notation, from the line `K:` or before to the last note."),
        },
        key="tune_id",
    ),
    "events": Contract(
        {
            "user_id": Column(USER_ID, "The user; a pseudonym once it is prepared."),
            "timestamp": Column(TIME, "When it happened."),
            "event": Column(TEXT, "What happened; `segment.purchase` names purchases, `refund` takes money back."),
            "item_id": Column(TEXT, "What was bought.", required=False),
            "quantity": Column(SIGNED_NUMBER, "How many of it; negative in a refund.", required=False),
            "value": Column(SIGNED_NUMBER, "What was paid; negative in a refund.", required=False),
            "currency": Column(CURRENCY, CURRENCY_MEANING, required=False),
            USER_KEY: Column(TEXT, USER_KEY_MEANING, required=False),
        }
    ),
    "impressions": Contract(
        {
            "impression_id": Column(TEXT, "Name of the impression; the number of the row without one."),
            "timestamp": Column(TIME, "When the creative was shown."),
            "user_id": Column(USER_ID, "The user it was shown to; a pseudonym once it is prepared.", required=False),
            "placement": Column(SHORT_TEXT, "Where it was shown."),
            "position": Column(COUNT, "Slot in the placement.", required=False),
            "creative_id": Column(SHORT_TEXT, "The creative shown."),
            "candidates": Column(LIST, "Creatives it was chosen from; all of the placement without.", required=False),
            "clicked": Column(FLAG, "Whether it was clicked."),
            "propensity": Column(SHARE, "Probability with which it was chosen in this slot.", required=False),
            "logging_policy": Column(TEXT, "Name of the policy that chose it.", required=False),
            "decision_id": Column(TEXT, "Decision in the decision log.", required=False),
            "conversions": Column(COUNT, "Number of conversions.", required=False),
            "value": Column(NUMBER, "Sum of their values.", required=False),
            "currency": Column(CURRENCY, CURRENCY_MEANING, required=False),
            "complaints": Column(COUNT, "How often it was hidden or reported by its user.", required=False),
            "cost": Column(NUMBER, "What the impression cost.", required=False),
            "user_agent": Column(
                FREE_TEXT, "Name of the browser; robots are marked, and no name is kept.", required=False
            ),
            "weight": Column(WEIGHT, "Number of impressions that the row stands for; 1 without.", required=False),
            "outcome_at": Column(TIME, "When the first click or conversion came.", required=False),
            "conversion_at": Column(TIME, "When the first conversion came; `outcome_at` without.", required=False),
            "experiment": Column(SHORT_TEXT, "Experiment in which it was chosen.", required=False),
            "arm": Column(SHORT_TEXT, "Arm of the experiment.", required=False),
            "arm_probability": Column(SHARE, "Probability of the arm.", required=False),
            USER_KEY: Column(TEXT, USER_KEY_MEANING, required=False),
        },
        key="impression_id",
        prefix=PREFIX,
    ),
}


def validate(raw: pd.DataFrame, table: str, value_format: ValueFormat = PLAIN_FORMAT) -> tuple[pd.DataFrame, pd.Series]:
    """Parse a table's raw rows; return them, and per row the first reason why it is invalid, else ""."""
    contract = CONTRACTS[table]
    reasons = raw[PARSE_ERROR].fillna("").astype("str") if PARSE_ERROR in raw else pd.Series("", raw.index, "str")
    rows = {}
    for name in contract.select_columns(raw.columns):
        column = contract.columns.get(name, Column(TEXT, required=False))
        if name not in raw:
            rows[name] = pd.Series(None, raw.index, column.kind.dtype)
            continue
        rows[name], unreadable = column.kind.parse_column(raw[name], value_format)
        if (found := unreadable != "").any():
            reasons = reasons.mask((reasons == "") & found, f"{name}: " + unreadable)
    parsed = pd.DataFrame(rows, index=raw.index)
    reasons = reasons.mask(reasons == "", _first_failures(parsed, table))
    if "currency" in raw:
        lacking = parsed["value"].notna() & parsed["currency"].isna()
        reasons = reasons.mask((reasons == "") & lacking, "currency: missing")
    if table == "copy":
        excess = (parsed["clicks"] > parsed["impressions"]).fillna(False).astype(bool)
        reasons = reasons.mask((reasons == "") & excess, "clicks: more than impressions")
    if table == "impressions":
        reasons = reasons.mask(
            (reasons == "") & _is_outside_candidates(parsed), "creative_id: not among the candidates"
        )
    return parsed, reasons


def _first_failures(rows: pd.DataFrame, table: str) -> pd.Series:
    """Return the first failed check of each row, "" where all pass."""
    try:
        _build_schema(table).validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        texts = cases["column"].astype("str") + ": " + cases["check"].replace("not_nullable", "missing").astype("str")
        first: pd.Series = texts.groupby(cases["index"]).first()
        return first.reindex(rows.index).fillna("").astype("str")
    return pd.Series("", rows.index, "str")


def _is_outside_candidates(rows: pd.DataFrame) -> pd.Series:
    """Return whether each impression shows a creative that is not among its candidates."""
    candidates = pyarrow.array(rows["candidates"], pyarrow.list_(pyarrow.string()))
    row = pc.list_parent_indices(candidates)  # (candidates of all rows,)
    creatives = pyarrow.array(rows["creative_id"], pyarrow.string()).take(row)
    shown = row.filter(pc.equal(pc.list_flatten(candidates), creatives)).to_numpy()
    return pd.Series(~np.isin(np.arange(len(rows)), shown), rows.index) & rows["candidates"].notna()


@cache
def _build_schema(table: str) -> pa.DataFrameSchema:
    columns = CONTRACTS[table].columns.items()
    return pa.DataFrameSchema(
        {name: pa.Column(checks=list(column.kind.checks), nullable=not column.required) for name, column in columns}
    )
