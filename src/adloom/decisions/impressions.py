"""
Impressions from a log: a row for each creative that was shown, with its probability and what came of it.

Everything below the uris is converted each time, so that a click that comes days after its decision is found: a file
a day (of the decisions) changes when something came to that day, and only then. The bytes depend on the records alone,
not on how they lie in segments or how often they were told. DuckDB joins and sorts, beyond memory where it must.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adloom.data.tables import CONTEXT
from adloom.decisions import reading, segments
from adloom.decisions.record import Decision, Feedback, decode
from adloom.errors import DataError
from adloom.io.store import Store
from adloom.io.tables import ROWS_PER_SHARD

MEMORY = "1GB"  # of DuckDB's; beyond, it uses the disk
SEGMENT = f"{CONTEXT}segment"  # the audience's, as the decision knew it

_TEXT, _TIME = pa.string(), pa.timestamp("us", "UTC")
_SHOWN = pa.schema(
    {
        "decision_id": _TEXT,
        "slot": pa.int64(),
        "time": pa.int64(),
        "body": pa.binary(16),
        "user": _TEXT,
        "user_key": _TEXT,
        "placement": _TEXT,
        "position": pa.int64(),
        "creative_id": _TEXT,
        "candidates": pa.list_(_TEXT),
        "propensity": pa.float64(),
        "policy": _TEXT,
        "context": pa.map_(_TEXT, _TEXT),
    }
)
_TOLD = pa.schema(
    {
        "decision_id": _TEXT,
        "creative_id": _TEXT,
        "kind": _TEXT,
        "time": pa.int64(),
        "value": pa.float64(),
        "key": _TEXT,  # equal for feedback that is the same
    }
)
_IMPRESSIONS = pa.schema(
    {
        "impression_id": _TEXT,
        "timestamp": _TIME,
        "user_id": _TEXT,
        "placement": _TEXT,
        "position": pa.int64(),
        "creative_id": _TEXT,
        "candidates": pa.list_(_TEXT),
        "clicked": pa.bool_(),
        "propensity": pa.float64(),
        "logging_policy": _TEXT,
        "decision_id": _TEXT,
        "conversions": pa.int64(),
        "value": pa.float64(),
        "outcome_at": _TIME,
        "user_key": _TEXT,
    }
)
# One decision of an id, the first one; a retried one may have another slate, so its rows stay together.
_ONCE = """
create table shown as
select * from (
    select *,
        dense_rank() over (partition by decision_id order by time, body) as version,
        row_number() over (partition by decision_id, slot, time, body) as copy
    from read_parquet({shown})
) where version = 1 and copy = 1;
create table told as
select * from (
    select *, row_number() over (partition by key order by time, decision_id, creative_id, kind, value) as copy
    from read_parquet({told})
) where copy = 1;
create table outcome as
select decision_id, creative_id,
    bool_or(kind = 'click') as clicked,
    count(*) filter (where kind = 'conversion') as conversions,
    coalesce(sum(value::decimal(38, 6)) filter (where kind = 'conversion'), 0)::double as value,
    min(time) as outcome_at
from told group by decision_id, creative_id;
"""
_JOINED = """
select decision_id || '-' || slot as impression_id, make_timestamp(time) as timestamp, "user" as user_id, placement,
    position, creative_id, candidates, coalesce(clicked, false) as clicked, propensity,
    policy as logging_policy, decision_id, coalesce(conversions, 0) as conversions, coalesce(value, 0) as value,
    make_timestamp(outcome_at) as outcome_at, user_key{context}
from shown left join outcome using (decision_id, creative_id)
order by time, decision_id, slot
"""


_COUNTS = """
select (select count(*) from shown) as impressions,
    (select count(distinct decision_id) from shown) as decisions,
    (select count(*) from told) as feedback,
    (select count(*) from told anti join shown using (decision_id, creative_id)) as lost_feedback
"""


@dataclass(frozen=True)
class Converted:
    """What a log was made into, and what was left out."""

    days: int
    impressions: int
    decisions: int  # that showed something
    feedback: int
    repeated_decisions: int  # left out: of an id that an earlier one has
    repeated_feedback: int  # left out: told before
    lost_feedback: int  # left out: for what no decision here showed
    unreadable: int  # left out: lines that are none of a log; `adloom log verify` names them


def convert(logs: Sequence[str], folder: Path, scratch: Path, store: Store) -> Converted:
    """
    Write the impressions of the segments below some uris as `<day>.parquet` into a folder.

    `scratch` holds about as much as the log, uncompressed. Raises DataError when nothing was shown.
    """
    with _Spill(scratch) as spill:
        for segment in reading.find(logs, store):
            with segment.here(store) as path:
                spill.read(path)
    config: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY, "temp_directory": str(scratch / "sorted")}
    with duckdb.connect(str(scratch / "log.duckdb"), config=config) as database:
        database.execute(_ONCE.format(shown=_quoted(spill.shown.path), told=_quoted(spill.told.path)))
        counted = database.sql(_COUNTS)
        counts = dict(zip(counted.columns, counted.fetchall()[0], strict=True))
        if not counts["impressions"]:
            raise DataError(f"{', '.join(logs)}: no decision showed anything; nothing was converted")
        joined = database.sql(_JOINED.format(context=_context(spill.context)))
        days = _write(joined.to_arrow_reader(ROWS_PER_SHARD), _schema(spill.context), folder)
    return Converted(
        days=days,
        repeated_decisions=spill.decisions - counts["decisions"],
        repeated_feedback=spill.told.rows - counts["feedback"],
        unreadable=spill.unreadable,
        **counts,
    )


class _Rows:
    """Rows of one schema on their way into a Parquet file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._held: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._held.append(row)
        self.rows += 1
        if len(self._held) == ROWS_PER_SHARD:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = zip(*self._held, strict=True) if self._held else [()] * len(self._schema)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._held = []


class _Spill:
    """What was shown and what was told, taken out of segments and put into files for the join."""

    def __init__(self, folder: Path) -> None:
        self.shown = _Rows(folder / "shown.parquet", _SHOWN)
        self.told = _Rows(folder / "told.parquet", _TOLD)
        self.context: set[str] = set()
        self.decisions = self.unreadable = 0

    def __enter__(self) -> "_Spill":
        return self

    def __exit__(self, *raised: object) -> None:
        self.shown.close()
        self.told.close()

    def read(self, segment: Path) -> None:
        for _, line in segments.lines(segment):
            try:
                found = decode(line)
            except ValueError:
                self.unreadable += 1
                continue
            if isinstance(found, Decision):
                self._show(found, hashlib.blake2b(line.strip(), digest_size=16).digest())
            elif isinstance(found, Feedback):
                self.told.add(_told(found))

    def _show(self, decision: Decision, body: bytes) -> None:
        context = decision.context if decision.segment is None else {**decision.context, "segment": decision.segment}
        self.context.update(context)
        self.decisions += bool(decision.chosen)
        left = list(decision.candidates)
        for slot, (creative, propensity) in enumerate(zip(decision.chosen, decision.propensities, strict=False), 1):
            row = (decision.decision_id, slot, decision.time, body, decision.user, decision.user_key)
            place = (decision.placement, decision.position + slot - 1)
            what = (creative, list(left), propensity, decision.policy, list(context.items()))
            self.shown.add((*row, *place, *what))
            left = [candidate for candidate in left if candidate != creative]


def _told(feedback: Feedback) -> tuple[Any, ...]:
    what = (feedback.decision_id, feedback.creative_id, feedback.kind)
    key = f"id {feedback.feedback_id}" if feedback.feedback_id else " ".join(("what", *what))
    return (*what, feedback.time, feedback.value, key)


def _context(names: set[str]) -> str:
    columns = (f"context[{_quoted(name)}] as {_quoted(CONTEXT + name, chr(34))}" for name in sorted(names))
    return "".join(f", {column}" for column in columns)


def _quoted(text: object, mark: str = "'") -> str:
    return mark + str(text).replace(mark, mark * 2) + mark


def _schema(context: set[str]) -> pa.Schema:
    return pa.schema([*_IMPRESSIONS, *(pa.field(CONTEXT + name, _TEXT) for name in sorted(context))])


def _write(batches: pa.RecordBatchReader, schema: pa.Schema, folder: Path) -> int:
    """Write rows, sorted by time, as a file a day, in row groups of equal size; return the number of days."""
    days = 0
    for day, tables in groupby(_by_day(batches, schema), key=lambda part: part[0]):
        with pq.ParquetWriter(folder / f"{day}.parquet", schema, compression="zstd") as writer:
            for rows in _regrouped(table for _, table in tables):
                writer.write_table(rows, row_group_size=ROWS_PER_SHARD)
        days += 1
    return days


def _by_day(batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of batches with their day (UTC), cut where the day ends."""
    for batch in batches:
        rows = pa.Table.from_batches([batch]).cast(schema)
        runs = pc.run_end_encode(pc.strftime(rows["timestamp"], "%Y-%m-%d").combine_chunks())
        ends = [0, *runs.run_ends.to_pylist()]
        for day, (start, end) in zip(runs.values.to_pylist(), pairwise(ends), strict=True):
            yield day, rows.slice(start, end - start)


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of tables in tables of one size, however they were cut, so that equal rows make equal bytes."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        rows = pa.concat_tables(held)
        while len(rows) >= ROWS_PER_SHARD:
            yield rows.slice(0, ROWS_PER_SHARD).combine_chunks()
            rows = rows.slice(ROWS_PER_SHARD)
        held = [rows]
    yield pa.concat_tables(held).combine_chunks()
