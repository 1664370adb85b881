"""
Assign the users of a table of any size to segments, from Parquet to Parquet.

The result has a part per block of row groups, so that memory does not grow with the table. A part counts as done when
its record exists; an interrupted run goes on after the last one. Parts depend on their rows and the model alone.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.config.base import ConfigModel
from adloom.errors import DataError
from adloom.storage import manifest
from adloom.storage.base import ObjectStore, SourceFile, Store, fetch_file, read_object, write_object

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

COMMAND = "segment-users"
ROWS_PER_PART = 1 << 20  # at least, in whole row groups
ROWS_AT_A_TIME = 1 << 16
PROGRESS = ".progress-"  # prefix of the records of an unfinished result
PLAN = f"{PROGRESS}plan"


@dataclass(frozen=True)
class FeatureTable:
    """The files of a table of features."""

    uri: str
    store: Store
    files: list[SourceFile]

    @classmethod
    def open(cls, uri: str, store: Store) -> "FeatureTable":
        """List the Parquet files. Raises DataError without one."""
        files = [file for file in store.list(uri) if file.path.endswith(".parquet")]
        if not files:
            raise DataError(f"{uri}: no .parquet file; expected feature rows: user_id, {', '.join(FEATURES)}")
        return cls(uri, store, list(store.add_versions(uri, files)))


def segment_users(source: FeatureTable, target: ObjectStore, model: Path) -> Counter[str]:
    """
    Write user_id, segment and reason of each row; return the number of rows, by segment and by reason.

    A finished result is not computed again. Raises DataError when the target has another content, and when columns are
    missing or not numbers.
    """
    versions = [f"{file.path} {file.version}" for file in source.files]
    plan = sha256("\n".join([manifest.digest(model), *versions]).encode()).hexdigest()
    existing = target.list("")
    if manifest.MANIFEST in existing:
        return _read_finished(target, plan)
    _start(target, plan, list(existing))
    segmenter = Segmenter.load(model / "segmenter.npz")
    for number, file in enumerate(source.files):
        prefix = f"{PROGRESS}part-{number:05}-"
        done = sorted(name for name in existing if name.startswith(prefix))
        if not done or json.loads(read_object(target, done[0]))["parts"] > len(done):
            _segment_file(source, file, prefix, set(done), segmenter, target)
    return _finish(target, plan, manifest.digest(model))


def _read_finished(target: ObjectStore, plan: str) -> Counter[str]:
    finished = manifest.Manifest.model_validate_json(read_object(target, manifest.MANIFEST))
    if finished.facts.get("plan") != plan:
        raise DataError(f"{target.url}: has a result of another table or model; name another folder, or remove it")
    return Counter(finished.rows)


def _start(target: ObjectStore, plan: str, existing: list[str]) -> None:
    """Write the plan. Raises DataError when the target belongs to another plan or program."""
    if any(name.startswith(PROGRESS) and name != PLAN for name in existing):
        if read_object(target, PLAN).decode() != plan:
            raise DataError(
                f"{target.url}: has an unfinished result of another table or model; name another folder, or remove it"
            )
    elif others := [name for name in existing if not name.startswith(".")]:
        raise DataError(f"{target.url}: not empty, has {others[0]}; name another folder")
    else:
        write_object(target, PLAN, plan.encode())


def _segment_file(
    source: FeatureTable, file: SourceFile, prefix: str, done: Set[str], segmenter: Segmenter, target: ObjectStore
) -> None:
    """Write the parts of a file that are not done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        path, output = fetch_file(source.store, source.uri, file.path, Path(scratch)), Path(scratch, "output.parquet")
        try:
            with pq.ParquetFile(path) as rows:
                _check_columns(rows.schema_arrow, f"{source.uri} {file.path}")
                blocks = [(f"{prefix}{number:05}", block) for number, block in enumerate(_group_rows(rows))]
                for record, block in blocks:
                    if record not in done:
                        counts = _write_part(rows, block, segmenter, output)
                        target.put(output, f"{record.removeprefix(PROGRESS)}.parquet")
                        described = {"sha256": manifest.sha256(output), "bytes": output.stat().st_size}
                        content = {"parts": len(blocks), "file": described, "rows": counts}
                        write_object(target, record, json.dumps(content).encode())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{source.uri} {file.path}: not a complete Parquet file ({error}); write it again"
            ) from None


def _check_columns(schema: "pa.Schema", where: str) -> None:
    from pyarrow import types

    if missing := [name for name in ("user_id", *FEATURES) if name not in schema.names]:
        advice = "; these are events: `adloom update-features` computes features" if "event" in schema.names else ""
        raise DataError(f"{where}: no column {', '.join(missing)}; expected user_id, {', '.join(FEATURES)}{advice}")
    if repeated := [name for name in ("user_id", *FEATURES) if schema.names.count(name) > 1]:
        raise DataError(f"{where}: several columns {', '.join(repeated)}, expected one; correct what wrote the table")
    for name in FEATURES:
        kind = schema.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)):
            raise DataError(f"{where}: {name} is {kind}, expected numbers; correct the query that wrote the table")


def _group_rows(rows: "pq.ParquetFile") -> Iterator[list[int]]:
    """Yield the row groups of each part; a file without rows has one empty part."""
    block, size = list[int](), 0
    for number in range(rows.num_row_groups):
        block, size = [*block, number], size + rows.metadata.row_group(number).num_rows
        if size >= ROWS_PER_PART:
            yield block
            block, size = [], 0
    if block or not rows.num_row_groups:
        yield block


def _write_part(rows: "pq.ParquetFile", block: list[int], segmenter: Segmenter, output: Path) -> Counter[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.dictionary(pa.int16(), pa.string())
    schema = pa.schema([rows.schema_arrow.field("user_id"), ("segment", text), ("reason", text)])
    counts = Counter[str]()
    with pq.ParquetWriter(output, schema, compression="zstd") as writer:
        for batch in rows.iter_batches(ROWS_AT_A_TIME, row_groups=block, columns=["user_id", *FEATURES]):
            counts += _write_batch(batch, segmenter, writer)
    return counts


def _write_batch(batch: "pa.RecordBatch", segmenter: Segmenter, writer: "pq.ParquetWriter") -> Counter[str]:
    import numpy as np
    import pyarrow as pa

    from adloom.audience.assignment import assign, list_reasons

    columns = [batch[name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for name in FEATURES]
    assigned = assign(segmenter, np.column_stack(columns))
    counts: Counter[str] = Counter(rows=len(batch))
    arrays: list[Any] = [batch["user_id"]]
    for indices, names in ((assigned.segment, (*segmenter.names, None)), (assigned.code, list_reasons())):
        sizes = np.bincount(indices, minlength=len(names))
        counts += Counter({name: int(size) for name, size in zip(names, sizes, strict=True) if name and size})
        known = np.array([name is None for name in names])
        values = pa.array([name or "" for name in names], pa.string())
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int16), mask=known[indices]), values))
    writer.write_batch(pa.record_batch(arrays, schema=writer.schema))
    return counts


def _finish(target: ObjectStore, plan: str, model: str) -> Counter[str]:
    """Write the manifest, and remove the records."""
    names = sorted(name for name in target.list("") if name.startswith("."))
    parts = [name for name in names if name.startswith(PROGRESS) and name != PLAN]
    records = {f"{name.removeprefix(PROGRESS)}.parquet": json.loads(read_object(target, name)) for name in parts}
    counts = sum((Counter(record["rows"]) for record in records.values()), Counter[str]())
    finished = manifest.Manifest(
        stage=COMMAND,
        files={name: manifest.File(**record["file"]) for name, record in records.items()},
        rows={"rows": counts["rows"]} | dict(sorted(counts.items())),
        facts={"audience_digest": model, "plan": plan},
        params=ConfigModel().digest(),
    )
    write_object(target, manifest.MANIFEST, finished.model_dump_json(indent=1, exclude={"environment"}).encode())
    for name in names:
        target.remove(name)
    return Counter(finished.rows)
