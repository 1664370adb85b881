"""
Convert a decision log to impressions: a row per creative shown, with propensity and outcome.

Each conversion reads the whole log, since feedback may arrive days later. Unchanged days keep their bytes.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adloom.data.context import CLOCK_SKEW, MAX_COLUMNS, PREFIX
from adloom.decision_log import reading
from adloom.decision_log.reading import DamagedError, SegmentRef
from adloom.decision_log.record import Decision, Feedback, Header, Line, Record, decode
from adloom.decision_log.verify import MAX_EXAMPLES
from adloom.errors import DataError
from adloom.storage import files
from adloom.storage.base import Store
from adloom.storage.parquet import ROWS_PER_SHARD

MEMORY = "1GB"  # limit of DuckDB before it uses the disk

_TEXT, _TIME = pa.string(), pa.timestamp("us", "UTC")
_ARM = {"experiment": _TEXT, "arm": _TEXT, "arm_probability": pa.float64()}
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
        **_ARM,
        "context": pa.map_(_TEXT, _TEXT),
    }
)
_FEEDBACK = pa.schema(
    {
        "decision_id": _TEXT,
        "creative_id": _TEXT,
        "kind": _TEXT,
        "time": pa.int64(),
        "value": pa.float64(),
        "feedback_id": _TEXT,
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
        "complaints": pa.int64(),
        "outcome_at": _TIME,
        "conversion_at": _TIME,
        **_ARM,
        "user_key": _TEXT,
    }
)
# Keeps the first decision of an id with all its rows: a retry may have another slate.
_DEDUPLICATE = """
create table shown as
select * from (
    select *,
        dense_rank() over (partition by decision_id order by time, body) as version,
        row_number() over (partition by decision_id, slot, time, body) as copy
    from read_parquet({shown})
) where version = 1 and copy = 1;
create table raw_feedback as select * from read_parquet({feedback});
create table matched_feedback as
select raw_feedback.*, decided, time < decided - {skew} as early
from raw_feedback join (select decision_id, creative_id, min(time) as decided from shown group by all)
using (decision_id, creative_id);
create table unique_feedback as
select * from (
    select *, row_number() over (partition by decision_id, creative_id, kind, feedback_id order by time, value) as copy
    from matched_feedback where not early
) where copy = 1;
create table outcome as
select decision_id, creative_id,
    bool_or(kind = 'click') as clicked,
    count(*) filter (where kind = 'conversion') as conversions,
    coalesce(sum(value::decimal(38, 6)) filter (where kind = 'conversion'), 0)::double as value,
    count(*) filter (where kind = 'complaint') as complaints,
    min(greatest(time, decided)) filter (where kind != 'complaint') as outcome_at,
    min(greatest(time, decided)) filter (where kind = 'conversion') as conversion_at
from unique_feedback group by decision_id, creative_id;
"""
# Most frequent names first: a table has a limited number of columns.
_CONTEXT_NAMES = """
select name from (select unnest(map_keys(context)) as name from shown where slot = 1)
group by name order by count(*) desc, name
"""
_JOIN = """
select decision_id || '-' || slot as impression_id, make_timestamp(time) as timestamp, "user" as user_id, placement,
    position, creative_id, candidates, coalesce(clicked, false) as clicked, propensity,
    policy as logging_policy, decision_id, coalesce(conversions, 0) as conversions, coalesce(value, 0) as value,
    coalesce(complaints, 0) as complaints, make_timestamp(outcome_at) as outcome_at,
    make_timestamp(conversion_at) as conversion_at, experiment, arm, arm_probability, user_key, context
from shown left join outcome using (decision_id, creative_id)
order by time, decision_id, slot
"""
_COUNTS = """
select (select count(*) from shown) as impressions,
    (select count(distinct decision_id) from shown) as decisions,
    (select count(*) from unique_feedback) as feedback,
    (select count(*) from matched_feedback where not early)
        - (select count(*) from unique_feedback) as repeated_feedback,
    (select count(*) from matched_feedback where early) as early_feedback,
    (select count(*) from raw_feedback) - (select count(*) from matched_feedback) as lost_feedback
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConversionReport:
    """The numbers of converted and excluded records."""

    days: int
    impressions: int
    decisions: int  # with at least one creative shown
    feedback: int
    repeated_decisions: int  # excluded: their id occurred earlier
    repeated_feedback: int  # excluded: received before
    early_feedback: int  # excluded: earlier than its decision
    lost_feedback: int  # excluded: without a matching decision
    unreadable: int  # excluded: invalid lines
    context_names: int  # excluded: context names above a table's limit
    missing_records: int  # written by processes but absent, by their own counts
    damaged: list[str]  # segments that cannot be read completely, with the reason


def convert(logs: Sequence[str], folder: Path, scratch: Path, store: Store) -> ConversionReport:
    """
    Write the impressions of some logs as `<day>.parquet` into a folder.

    `scratch` needs about the uncompressed size of the log. Raises DataError without impressions.
    """
    with _RecordFiles(scratch) as records:
        for segment in reading.find_segments(logs, store):
            records.read(segment, store)
    config: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY, "temp_directory": str(scratch / "sorted")}
    with duckdb.connect(str(scratch / "log.duckdb"), config=config) as database:
        database.execute(
            _DEDUPLICATE.format(
                shown=_quote(records.shown.path), feedback=_quote(records.feedback.path), skew=CLOCK_SKEW
            )
        )
        result = database.sql(_COUNTS)
        counts = dict(zip(result.columns, result.fetchall()[0], strict=True))
        if not counts["impressions"]:
            damage = "".join(f"; {reason}" for reason in records.damaged[:MAX_EXAMPLES])
            raise DataError(f"{', '.join(logs)}: no decision showed a creative; nothing was converted{damage}")
        names = [name for (name,) in database.sql(_CONTEXT_NAMES).fetchall()]
        _warn_dropped_names(names[MAX_COLUMNS:])
        days = _write_days(database.sql(_JOIN).to_arrow_reader(ROWS_PER_SHARD), sorted(names[:MAX_COLUMNS]), folder)
    return ConversionReport(
        days=days,
        repeated_decisions=records.decisions - counts["decisions"],
        unreadable=records.unreadable,
        context_names=len(names[MAX_COLUMNS:]),
        missing_records=records.count_missing(),
        damaged=records.damaged,
        **counts,
    )


def _warn_dropped_names(names: Sequence[str]) -> None:
    if names:
        examples = ", ".join(repr(name) for name in names[:MAX_EXAMPLES])
        logger.warning(
            "%d context names are excluded, such as %s: a table has at most %d", len(names), examples, MAX_COLUMNS
        )


class _ParquetRows:
    """A Parquet file written row by row."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._pending: list[tuple[Any, ...]] = []

    def add(self, row: tuple[Any, ...]) -> None:
        self._pending.append(row)
        self.rows += 1
        if len(self._pending) == ROWS_PER_SHARD:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = zip(*self._pending, strict=True) if self._pending else [()] * len(self._schema)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._pending = []


class _RecordFiles:
    """Shown creatives and feedback, as files for the join."""

    def __init__(self, folder: Path) -> None:
        self.shown = _ParquetRows(folder / "shown.parquet", _SHOWN)
        self.feedback = _ParquetRows(folder / "feedback.parquet", _FEEDBACK)
        self.decisions = self.unreadable = 0
        self.damaged: list[str] = []
        self._counts: dict[str, list[tuple[int, int, int]]] = defaultdict(
            list
        )  # process: number, records before, after

    def __enter__(self) -> "_RecordFiles":
        return self

    def __exit__(self, *raised: object) -> None:
        self.shown.close()
        self.feedback.close()

    def read(self, segment: SegmentRef, store: Store) -> None:
        """Add a segment's records, up to any damage."""
        header, count = None, 0
        try:
            with segment.local_copy(store) as path:
                for number, line in segment.read_lines(path):
                    record = self._add_line(f"{segment.name}:{number}", line)
                    header = record if isinstance(record, Header) else header
                    count += record is None or isinstance(record, Record)
        except DamagedError as error:
            self.damaged.append(str(error))
        if header:
            self._counts[header.process].append((header.number, header.records, header.records + count))

    def count_missing(self) -> int:
        """Return how many records are missing between a process's segments."""
        pairs_by_process = (pairwise(sorted(counts)) for counts in self._counts.values())
        return sum(max(before - after, 0) for pairs in pairs_by_process for (_, _, after), (_, before, _) in pairs)

    def _add_line(self, location: str, line: bytes) -> Line | None:
        """Add a line; return None if it is invalid."""
        try:
            record = decode(line)
        except ValueError as error:
            self.unreadable += 1
            if self.unreadable <= MAX_EXAMPLES:
                logger.warning("%s: excluded: %s", location, error)
            return None
        if isinstance(record, Decision):
            self._add_decision(record, hashlib.blake2b(line.strip(), digest_size=16).digest())
        elif isinstance(record, Feedback):
            key = (record.decision_id, record.creative_id, record.kind)
            self.feedback.add((*key, record.time, record.value, record.feedback_id))
        return record

    def _add_decision(self, decision: Decision, body: bytes) -> None:
        self.decisions += bool(decision.chosen)
        for slot, (creative, propensity, candidates) in enumerate(decision.list_slots(), 1):
            key = (decision.decision_id, slot, decision.time, body, decision.user, decision.user_key)
            position = (decision.placement, decision.position + slot - 1)
            choice = (creative, candidates, propensity, decision.policy)
            arm = (decision.experiment, decision.arm, decision.arm_probability)
            self.shown.add((*key, *position, *choice, *arm, list(decision.full_context.items())))


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _expand_context(batch: pa.RecordBatch, names: Sequence[str]) -> pa.Table:
    """Replace the map `context` by a column per name."""
    context, rows = batch["context"], len(batch)
    row = np.repeat(np.arange(rows), np.diff(context.offsets))  # (entries,)
    column = pc.fill_null(pc.index_in(context.keys, pa.array(names, _TEXT)), len(names)).to_numpy()  # (entries,)
    order = np.argsort(column, kind="stable")
    ends = np.searchsorted(column[order], np.arange(len(names) + 1))
    table = pa.Table.from_batches([batch]).drop_columns("context").cast(_IMPRESSIONS)
    for name, (start, end) in zip(names, pairwise(ends), strict=True):
        entry = np.full(rows, -1)
        entry[row[order[start:end]]] = order[start:end]
        table = table.append_column(PREFIX + name, context.items.take(pa.array(entry, mask=entry < 0)))
    return table


def _write_days(batches: pa.RecordBatchReader, names: Sequence[str], folder: Path) -> int:
    """Write sorted rows as a file per day; return the number of days."""
    days, schema = 0, pa.schema([*_IMPRESSIONS, *(pa.field(PREFIX + name, _TEXT) for name in names)])
    for day, tables in groupby(_split_days(batches, names), key=lambda pair: pair[0]):
        with (
            files.create_private(folder / f"{day}.parquet") as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            for rows in _regroup(table for _, table in tables):
                writer.write_table(rows, row_group_size=ROWS_PER_SHARD)
        days += 1
    return days


def _split_days(batches: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of batches with their day (UTC)."""
    for batch in batches:
        rows = _expand_context(batch, names)
        runs = pc.run_end_encode(pc.strftime(rows["timestamp"], "%Y-%m-%d").combine_chunks())
        ends = [0, *runs.run_ends.to_pylist()]
        for day, (start, end) in zip(runs.values.to_pylist(), pairwise(ends), strict=True):
            yield day, rows.slice(start, end - start)


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables of equal size, so that equal rows make equal bytes."""
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        rows = pa.concat_tables(pending)
        while len(rows) >= ROWS_PER_SHARD:
            yield rows.slice(0, ROWS_PER_SHARD).combine_chunks()
            rows = rows.slice(ROWS_PER_SHARD)
        pending = [rows]
    yield pa.concat_tables(pending).combine_chunks()
