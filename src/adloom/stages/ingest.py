"""
Bring the source tables into data/raw, with the contracts' column names and unchecked values.

params.yaml names the sources under `ingest`. They must match sources.lock, which `adloom snapshot` writes.

Example: adloom ingest
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from adloom.catalogue import entries
from adloom.config.base import ConfigModel
from adloom.config.params import TABLES
from adloom.config.sources import Ingest, Source
from adloom.config.value_formats import ValueFormat
from adloom.context import StageContext
from adloom.data.contracts import RAW_TABLE
from adloom.data.reading.data_files import find_copies
from adloom.errors import ConfigError, DataError
from adloom.stages import sources_lock
from adloom.stages.source_files import LocatedFiles, locate_files
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest, parquet

if TYPE_CHECKING:
    from adloom.data.reading.source import SourceReader


@dataclass(frozen=True)
class Inputs:
    """The stage's inputs."""

    sources: Path = sources_lock.LOCK


@dataclass(frozen=True)
class Outputs:
    """The stage's outputs: one artifact per table."""

    creatives: Path = Path("data/raw/creatives")
    copy: Path = Path("data/raw/copy")
    events: Path = Path("data/raw/events")
    impressions: Path = Path("data/raw/impressions")
    tunes: Path = Path("data/raw/tunes")


def run(inputs: Inputs, outputs: Outputs, params: Ingest, context: StageContext) -> Mapping[str, float]:
    """Ingest every table with a source; return the rows of each."""
    lock = sources_lock.load(inputs.sources)
    counts: dict[str, float] = {}
    for table in TABLES:
        counts |= ingest(table, lock, getattr(outputs, table), params, context)
    return counts


def ingest(table: str, lock: SourcesLock, target: Path, params: Ingest, context: StageContext) -> dict[str, float]:
    """Ingest one table; a table without a source becomes a skipped artifact."""
    source = params.source(table)
    if source is None:
        manifest.skip(target, "ingest", ConfigModel(), f"no source: ingest.{table} is not given")
        return {}
    return {f"{table}_rows": _ingest(table, _resolve_source(table, source), lock, target, context)}


def _resolve_source(table: str, source: Source) -> Source:
    resolved = entries.complete_source(source)
    if resolved.format is None:
        raise ConfigError(
            f"ingest.{table}.format: required for {source.uri}: idx, folder, csv, jsonl, parquet, xlsx or abc"
        )
    return resolved


def _ingest(table: str, source: Source, lock: SourcesLock, target: Path, context: StageContext) -> int:
    scan = partial(sources_lock.scan_source, source, table, context)
    context.home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="ingest-", dir=context.home) as scratch,
        manifest.draft(target, "ingest", source, {}) as draft,
        sources_lock.assert_unchanged(lock.tables.get(table), f"ingest.{table}", scan),
        tqdm(desc=f"ingest {table}", unit="row", delay=1, disable=not context.progress) as bar,
    ):
        located = locate_files(source, table, context.store)
        copies = find_copies({f.path: (f.bytes, f.version) for f in lock.tables[table].files}, source)
        reader = _open_reader(located, source, table, Path(scratch), context)
        shards, private = parquet.ShardWriter(draft.path, RAW_TABLE), False
        try:
            for rows in reader.read_chunks():
                if "user_id" in rows and sources_lock.is_private(table, source.uri) and not private:
                    sources_lock.require_key(table, context)
                    private = True
                shards.append(rows)
                bar.update(len(rows))
        except DataError as error:  # names the file's copy here
            raise DataError(str(error).replace(f"{scratch}/", "")) from None
        draft.rows = {"rows": shards.rows}
        draft.facts = _source_facts(source, private, [*located.data.warnings(), *copies, *reader.warnings()])
    return shards.rows


def _open_reader(
    located: LocatedFiles, source: Source, table: str, scratch: Path, context: StageContext
) -> "SourceReader":
    from adloom.data.reading.source import SourceReader

    path = context.store.fetch(located.root, scratch, {*located.data.paths})
    return SourceReader(path.parent if path.is_file() else path, located.data.paths, source, table)


def _source_facts(source: Source, private: bool, warnings: list[str]) -> dict[str, str]:
    """Return the facts about a source that prepare needs."""
    return {
        "source": source.uri,
        "licence": source.licence or "not stated",
        "private": "yes" if private else "no",
        "value_format": ValueFormat.model_validate(source.model_dump(include=set(ValueFormat.model_fields))).to_json(),
        "warnings": json.dumps(warnings),
    }
