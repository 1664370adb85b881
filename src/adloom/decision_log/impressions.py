"""
Impressions from a log: a row for each creative that was shown, with its probability and what came of it.

Everything below the uris is converted each time, so that a click that comes days after its decision is found: a file
a day (of the decisions) changes when something came to that day, and only then. The bytes depend on the records alone,
not on how they lie in segments or how often they were told. DuckDB joins and sorts, beyond memory where it must.
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

from adloom.data.context import MAX_COLUMNS, PREFIX
from adloom.decision_log import reading
from adloom.decision_log.reading import DamagedError, SegmentRef
from adloom.decision_log.record import Decision, Feedback, Header, Line, decode
from adloom.decision_log.verify import CLOCK_SKEW, MAX_EXAMPLES
from adloom.errors import DataError
from adloom.storage import private_file
from adloom.storage.base import Store
from adloom.storage.parquet import ROWS_PER_SHARD

MEMORY = "1GB"  # of DuckDB's; beyond, it uses the disk
SEGMENT = "segment"  # name of the audience's segment, as the decision knew it, in the context

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
        "outcome_at": _TIME,
        "user_key": _TEXT,
    }
)
# One decision of an id, the first one; a retried one may have another slate, so its rows stay together.
_DEDUPLICATE = """
create table shown as
select * from (
    select *,
        dense_rank() over (partition by decision_id order by time, body) as version,
        row_number() over (partition by decision_id, slot, time, body) as copy
    from read_parquet({shown})
) where version = 1 and copy = 1;
create table told as select * from read_parquet({told});
create table known as
select told.*, decided, time < decided - {skew} as early
from told join (select decision_id, creative_id, min(time) as decided from shown group by all)
using (decision_id, creative_id);
create table once as
select * from (
    select *, row_number() over (partition by decision_id, creative_id, kind, feedback_id order by time, value) as copy
    from known where not early
) where copy = 1;
create table outcome as
select decision_id, creative_id,
    bool_or(kind = 'click') as clicked,
    count(*) filter (where kind = 'conversion') as conversions,
    coalesce(sum(value::decimal(38, 6)) filter (where kind = 'conversion'), 0)::double as value,
    min(greatest(time, decided)) as outcome_at
from once group by decision_id, creative_id;
"""
# Most frequent names first: a table has a bounded number of columns.
_CONTEXT_NAMES = """
select name from (select unnest(map_keys(context)) as name from shown where slot = 1)
group by name order by count(*) desc, name
"""
_JOIN = """
select decision_id || '-' || slot as impression_id, make_timestamp(time) as timestamp, "user" as user_id, placement,
    position, creative_id, candidates, coalesce(clicked, false) as clicked, propensity,
    policy as logging_policy, decision_id, coalesce(conversions, 0) as conversions, coalesce(value, 0) as value,
    make_timestamp(outcome_at) as outcome_at, user_key, context
from shown left join outcome using (decision_id, creative_id)
order by time, decision_id, slot
"""


_COUNTS = """
select (select count(*) from shown) as impressions,
    (select count(distinct decision_id) from shown) as decisions,
    (select count(*) from once) as feedback,
    (select count(*) from known where not early) - (select count(*) from once) as repeated_feedback,
    (select count(*) from known where early) as early_feedback,
    (select count(*) from told) - (select count(*) from known) as lost_feedback
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConversionReport:
    """What a log was made into, and what was left out."""

    days: int
    impressions: int
    decisions: int  # that showed something
    feedback: int
    repeated_decisions: int  # left out: of an id that an earlier one has
    repeated_feedback: int  # left out: told before
    early_feedback: int  # left out: told before its decision was made
    lost_feedback: int  # left out: for what no decision here showed
    unreadable: int  # left out: lines that are none of a log
    context_names: int  # left out: names of context above the columns that a table may have
    missing_records: int  # that processes wrote, by their own counts, and that are not here
    damaged: list[str]  # segments that cannot be read to their end, and why


def convert(logs: Sequence[str], folder: Path, scratch: Path, store: Store) -> ConversionReport:
    """
    Write the impressions of the segments below some uris as `<day>.parquet` into a folder.

    `scratch` holds about as much as the log, uncompressed. Raises DataError when nothing was shown.
    """
    with _RecordFiles(scratch) as spill:
        for segment in reading.find_segments(logs, store):
            spill.read(segment, store)
    config: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY, "temp_directory": str(scratch / "sorted")}
    with duckdb.connect(str(scratch / "log.duckdb"), config=config) as database:
        database.execute(
            _DEDUPLICATE.format(shown=_quote(spill.shown.path), told=_quote(spill.told.path), skew=CLOCK_SKEW)
        )
        counted = database.sql(_COUNTS)
        counts = dict(zip(counted.columns, counted.fetchall()[0], strict=True))
        if not counts["impressions"]:
            damage = "".join(f"; {what}" for what in spill.damaged[:MAX_EXAMPLES])
            raise DataError(f"{', '.join(logs)}: no decision showed anything; nothing was converted{damage}")
        names = [name for (name,) in database.sql(_CONTEXT_NAMES).fetchall()]
        _warn_dropped_names(names[MAX_COLUMNS:])
        joined = database.sql(_JOIN).to_arrow_reader(ROWS_PER_SHARD)
        days = _write_days(joined, sorted(names[:MAX_COLUMNS]), folder)
    return ConversionReport(
        days=days,
        repeated_decisions=spill.decisions - counts["decisions"],
        unreadable=spill.unreadable,
        context_names=len(names[MAX_COLUMNS:]),
        missing_records=spill.missing(),
        damaged=spill.damaged,
        **counts,
    )


def _warn_dropped_names(names: Sequence[str]) -> None:
    if names:
        some = ", ".join(repr(name) for name in names[:MAX_EXAMPLES])
        logger.warning(
            "%d names of context are left out, such as %s: a table has at most %d", len(names), some, MAX_COLUMNS
        )


class _ParquetRows:
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


class _RecordFiles:
    """What was shown and what was told, taken out of segments and put into files for the join."""

    def __init__(self, folder: Path) -> None:
        self.shown = _ParquetRows(folder / "shown.parquet", _SHOWN)
        self.told = _ParquetRows(folder / "told.parquet", _FEEDBACK)
        self.decisions = self.unreadable = 0
        self.damaged: list[str] = []
        self._counts: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # by process: number, before, after

    def __enter__(self) -> "_RecordFiles":
        return self

    def __exit__(self, *raised: object) -> None:
        self.shown.close()
        self.told.close()

    def read(self, segment: SegmentRef, store: Store) -> None:
        """Take a segment's records; of one that is damaged, those before the damage."""
        header, count = None, 0
        try:
            with segment.here(store) as path:
                for number, line in segment.lines(path):
                    found = self._take(f"{segment.name}:{number}", line)
                    header = found if isinstance(found, Header) else header
                    count += found is None or isinstance(found, Decision | Feedback)
        except DamagedError as error:
            self.damaged.append(str(error))
        if header:
            self._counts[header.process].append((header.number, header.records, header.records + count))

    def missing(self) -> int:
        """Return how many records processes wrote between the segments that are here, and that are not here."""
        neighbours = (pairwise(sorted(counts)) for counts in self._counts.values())
        return sum(max(before - after, 0) for pairs in neighbours for (_, _, after), (_, before, _) in pairs)

    def _take(self, place: str, line: bytes) -> Line | None:
        """Take a line; return None for one that is none of a log."""
        try:
            found = decode(line)
        except ValueError as error:
            self.unreadable += 1
            if self.unreadable <= MAX_EXAMPLES:
                logger.warning("%s: left out: %s", place, error)
            return None
        if isinstance(found, Decision):
            self._show(found, hashlib.blake2b(line.strip(), digest_size=16).digest())
        elif isinstance(found, Feedback):
            what = (found.decision_id, found.creative_id, found.kind, found.time, found.value, found.feedback_id)
            self.told.add(what)
        return found

    def _show(self, decision: Decision, body: bytes) -> None:
        context = decision.context if decision.segment is None else {**decision.context, SEGMENT: decision.segment}
        self.decisions += bool(decision.chosen)
        left = list(decision.candidates)
        for slot, (creative, propensity) in enumerate(zip(decision.chosen, decision.propensities, strict=False), 1):
            row = (decision.decision_id, slot, decision.time, body, decision.user, decision.user_key)
            place = (decision.placement, decision.position + slot - 1)
            what = (creative, list(left), propensity, decision.policy, list(context.items()))
            self.shown.add((*row, *place, *what))
            left = [candidate for candidate in left if candidate != creative]


def _quote(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _expand_context(batch: pa.RecordBatch, names: Sequence[str]) -> pa.Table:
    """Return rows with a column for each of some names instead of the map `context`; linear in what it makes."""
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
    """Write rows, sorted by time, as a file a day, in row groups of equal size; return the number of days."""
    days, schema = 0, pa.schema([*_IMPRESSIONS, *(pa.field(PREFIX + name, _TEXT) for name in names)])
    for day, tables in groupby(_split_days(batches, names), key=lambda part: part[0]):
        with (
            private_file.create(folder / f"{day}.parquet") as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            for rows in _regroup(table for _, table in tables):
                writer.write_table(rows, row_group_size=ROWS_PER_SHARD)
        days += 1
    return days


def _split_days(batches: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of batches with their day (UTC), cut where the day ends."""
    for batch in batches:
        rows = _expand_context(batch, names)
        runs = pc.run_end_encode(pc.strftime(rows["timestamp"], "%Y-%m-%d").combine_chunks())
        ends = [0, *runs.run_ends.to_pylist()]
        for day, (start, end) in zip(runs.values.to_pylist(), pairwise(ends), strict=True):
            yield day, rows.slice(start, end - start)


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
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
