"""
Check, pseudonymise and split the tables into data/dataset.

Invalid rows go to quarantine-*.parquet with a reason; summary.json counts them.

Example: adloom prepare
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from adloom.config import params as config_params
from adloom.config.params import TABLES, Prepare
from adloom.config.value_formats import ValueFormat
from adloom.context import StageContext
from adloom.data import privacy
from adloom.data.contracts import RAW_TABLE
from adloom.errors import AdloomError, DataError
from adloom.stages import sources_lock
from adloom.stages.sources_lock import SourcesLock
from adloom.storage import manifest, parquet
from adloom.storage.manifest import Draft

if TYPE_CHECKING:
    from adloom.data.pictures import PictureFormat
    from adloom.data.preparation import Preparation
    from adloom.data.quality import Quality


logger = logging.getLogger(__name__)

QUARANTINE = "quarantine"  # name of the table of invalid rows
SHARDS_AT_A_TIME = 5  # fewer take longer, more take more memory; pictures are large


@dataclass(frozen=True)
class Inputs:
    """The stage's inputs."""

    sources: Path = sources_lock.LOCK
    raw_creatives: Path = Path("data/raw/creatives")
    raw_copy: Path = Path("data/raw/copy")
    raw_events: Path = Path("data/raw/events")
    raw_impressions: Path = Path("data/raw/impressions")
    raw_tunes: Path = Path("data/raw/tunes")


@dataclass(frozen=True)
class Outputs:
    """The stage's outputs: one artifact per table."""

    creatives: Path = Path("data/dataset/creatives")
    copy: Path = Path("data/dataset/copy")
    events: Path = Path("data/dataset/events")
    impressions: Path = Path("data/dataset/impressions")
    tunes: Path = Path("data/dataset/tunes")


def run(inputs: Inputs, outputs: Outputs, params: Prepare, context: StageContext) -> Mapping[str, float]:
    """Prepare every ingested table; return the valid and quarantined rows of each."""
    lock = sources_lock.load(inputs.sources)
    counts: dict[str, float] = {}
    for table in TABLES:
        raw, target = getattr(inputs, f"raw_{table}"), getattr(outputs, table)
        counts |= prepare(table, lock, raw, target, params.for_table(table), context)
    return counts


def prepare(
    table: str, lock: SourcesLock, raw: Path, target: Path, params: Prepare, context: StageContext
) -> dict[str, float]:
    """Prepare one table; a skipped raw table becomes a skipped artifact."""
    if manifest.propagate_skip(target, "prepare", params, raw):
        return {}
    task = _build_preparation(table, raw, params, lock, context)
    quality = _write_artifact(task, raw, target, context)
    for warning in quality.warnings():
        logger.warning("%s: %s", table, warning)
    counts: dict[str, float] = {f"{table}_rows": quality.kept, f"{table}_quarantined": quality.quarantined.total()}
    return counts | ({f"{table}_invalid": quality.invalid.total()} if table == "impressions" else {})


def _write_artifact(task: "Preparation", raw: Path, target: Path, context: StageContext) -> "Quality":
    kept = target.with_name(f"{target.name}.quarantine")
    shutil.rmtree(kept, ignore_errors=True)
    with manifest.draft(target, "prepare", task.params, {"raw": raw}) as draft:
        task = _write_rows(task, raw, draft, context)
        if task.table == "impressions":
            _mark_traffic(task, draft.path)
        if task.quality.is_broken(task.params.max_quarantine_rate):
            place = _keep_quarantine(draft.path, kept, raw, context)
            problem = task.quality.describe_failure(task.params.max_quarantine_rate)
            raise DataError(
                f"{problem}; {place} has all of them; correct the source or raise prepare.max_quarantine_rate"
            )
        summary = json.dumps(task.quality.summary(), indent=1, sort_keys=True)
        (draft.path / "summary.json").write_text(summary + "\n", encoding="utf-8")
        draft.rows = task.quality.row_counts()
        draft.facts = {"source": task.source.uri, "licence": task.source.licence}
        if task.table in privacy.USER_TABLES:
            draft.facts["key"] = privacy.key_fingerprint(task.key)
    return task.quality


def _write_rows(task: "Preparation", raw: Path, draft: Draft, context: StageContext) -> "Preparation":
    """Write the rows and the quarantine; twice if the first pass had no room for all keys and some are repeated."""
    shards, quarantine = parquet.ShardWriter(draft.path), parquet.FullShardWriter(draft.path, QUARANTINE)
    with tqdm(desc=f"prepare {task.table}", unit="row", delay=1, disable=not context.progress) as bar:
        for chunk in parquet.read_chunks(raw, RAW_TABLE, shards=1 if task.table == "creatives" else SHARDS_AT_A_TIME):
            prepared = task(chunk)
            shards.append(prepared.rows)
            quarantine.append(prepared.quarantine)
            bar.update(len(chunk))
    quarantine.close()
    task.finish()
    if not len(late := task.find_late_duplicates()):
        return task
    for path in draft.path.glob("*.parquet"):
        path.unlink()
    return _write_rows(replace(task, repeated=late), raw, draft, context)


def _mark_traffic(task: "Preparation", folder: Path) -> None:
    """Mark the hours of users who are too fast, in written shards, and count all marked rows."""
    from adloom.data.invalid_traffic import find_heavy_hours, mark_hours

    reasons = find_heavy_hours(parquet.list_shards(folder), task.params.invalid_traffic)
    shards = parquet.ShardWriter(folder)  # replaces shard by shard
    for rows in parquet.read_chunks(folder):
        marked = mark_hours(rows, reasons)
        if len(reasons):
            shards.append(marked)
        task.quality.invalid.update(marked["invalid_reason"].dropna())


def _keep_quarantine(draft: Path, kept: Path, raw: Path, context: StageContext) -> str:
    """Move the quarantine of a failed table beside its place, and copy it to S3 for pods; return where it is."""
    kept.mkdir()
    for path in sorted(draft.glob(f"{QUARANTINE}-*")):
        path.rename(kept / path.name)
    place = f"{kept}/{QUARANTINE}-*.parquet"
    if context.checkpoint_uri is None:
        return place
    uri = f"{context.checkpoint_uri}/quarantine/{manifest.digest(raw)[:16]}"
    try:
        context.store.push(kept, uri)
    except AdloomError as error:
        logger.warning("%s", error)
        return place
    return f"{place}, also below {uri},"


def _build_preparation(
    table: str, raw: Path, params: Prepare, lock: SourcesLock, context: StageContext
) -> "Preparation":
    from adloom.data.preparation import Preparation, SourceFacts

    raw_manifest = manifest.verify(raw)
    if "value_format" not in raw_manifest.facts:
        raise DataError(f"{raw}: written by another version of adloom; run `adloom ingest` again")
    private = raw_manifest.facts["private"] == "yes"
    key = _require_locked_key(table, lock, context) if private else privacy.PUBLISHED_KEY
    source = SourceFacts(
        raw_manifest.facts["source"],
        raw_manifest.facts["licence"],
        public=not private,
        value_format=config_params.parse(ValueFormat, raw_manifest.facts["value_format"]),
        warnings=tuple(json.loads(raw_manifest.facts.get("warnings", "[]"))),
    )
    erased = _read_erasure_list(params.erasure_list, key, lock, context) if private and params.erasure_list else None
    picture_format = _choose_format(raw, params) if table == "creatives" else None
    return Preparation(table, params, source, key, erased, picture_format)


def _require_locked_key(table: str, lock: SourcesLock, context: StageContext) -> bytes:
    """Return the pseudonym key. Raises DataError unless it is the key of sources.lock."""
    key = sources_lock.require_key(table, context)
    if privacy.key_fingerprint(key) != lock.key:
        raise DataError(
            f"{table}: the pseudonym key ({privacy.key_fingerprint(key)}) is not the one of sources.lock "
            f"({lock.key or 'none'}); set that key, or {sources_lock.RUN_SNAPSHOT} to use this one"
        )
    return key


def _read_erasure_list(erasure_list: str, key: bytes, lock: SourcesLock, context: StageContext) -> frozenset[str]:
    """Return the pseudonyms of the users on the erasure list."""
    from adloom.data.reading.id_lists import read_ids

    scan = partial(sources_lock.scan_files, erasure_list, context)
    unchanged = sources_lock.assert_unchanged(lock.erasure, "prepare.erasure_list", scan)
    with unchanged, tempfile.TemporaryDirectory() as scratch:
        return frozenset(
            map(privacy.make_pseudonymiser(key), read_ids(context.store.fetch(erasure_list, Path(scratch))))
        )


def _choose_format(raw: Path, params: Prepare) -> "PictureFormat":
    """Return the common format of all pictures, from their headers. Composed ads do not count."""
    from adloom.data import pictures, preparation

    chunks = parquet.read_chunks(raw, RAW_TABLE)
    images = (image for rows in chunks for image in preparation.drop_ads(rows)["image"])
    headers = preparation.read_headers(images, params.max_pixels)
    return pictures.choose_format(headers, params.picture_size, transparency=params.transparency == "keep")
