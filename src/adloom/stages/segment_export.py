"""Export the users of a segment: read consents and contacts, write identifiers and an audit record."""

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from adloom.audience.assignment import SUPPRESSED
from adloom.audience.export import HEADERS, Export, Identifier, Platform
from adloom.audience.segment_index import SegmentIndex
from adloom.config.audience import Privacy
from adloom.data.privacy import PUBLISHED_KEY, find_key, key_fingerprint, make_pseudonymiser
from adloom.errors import ConfigError, DataError
from adloom.stages.measure import read_card
from adloom.storage import manifest
from adloom.storage.base import Store, fetch_file

ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class Request:
    """An export, and the tables to read: Parquet or CSV, local or in S3."""

    segment: str
    identifier: Identifier
    platform: Platform
    consent: str  # table of user_id and consent
    contacts: str | None = None  # table of user_id and email or phone
    region: str | None = None  # country of phone numbers without a code
    match_rate: float | None = None  # share of identifiers that the platform matched last time


def export_segment(request: Request, audience: Path, key: bytes | None, store: Store) -> Export:
    """Collect the identifiers of a segment. Raises ConfigError, and DataError when they are too few to publish."""
    if request.identifier != "pseudonym" and request.contacts is None:
        raise ConfigError(f"--identifier {request.identifier}: no contacts; name a table of them by --contacts")
    pseudonymise = make_pseudonymiser(_require_key(audience, key))
    export = Export(_read_members(audience, request.segment), request.identifier, request.platform, request.region)
    export.add_consent((pseudonymise(u), c) for u, c in _read_pairs(request.consent, "consent", store))
    if request.contacts and request.identifier != "pseudonym":
        pairs = _read_pairs(request.contacts, request.identifier, store)
        export.add_contacts((pseudonymise(user), contact) for user, contact in pairs)
    smallest = Privacy.model_validate(read_card(audience).get("params", {}).get("privacy") or {}).smallest
    if (counts := export.count())["identifiers"] < smallest:
        raise DataError(
            f"{request.segment}: {counts['identifiers']} identifiers of {counts['consenting']} consenting users, "
            f"expected at least {smallest}, the smallest group that may leave; nothing is exported"
        )
    return export


def describe_export(
    request: Request, audience: Path, counts: dict[str, int], content: bytes, by: str
) -> dict[str, Any]:
    """Return the audit record of an export."""
    rate = request.match_rate
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": by,
        "segment": request.segment,
        "audience_digest": manifest.digest(audience),
        "currency": read_card(audience).get("currency"),
        "identifier": request.identifier,
        "platform": request.platform,
        **counts,
        "reach": round(counts["reachable"] / counts["users"], 4),
        "expected_match_rate": None if rate is None else round(counts["reachable"] / counts["users"] * rate, 4),
        "expected_matches": None if rate is None else round(counts["identifiers"] * rate),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def render(request: Request, export: Export, suffix: str) -> bytes:
    """Return the identifiers as a table of one column. Raises ConfigError unless the file is .csv or .parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header, identifiers = HEADERS[request.identifier, request.platform], export.list_identifiers()
    if suffix == ".csv":
        return "\n".join([header, *identifiers, ""]).encode()
    if suffix != ".parquet":
        raise ConfigError(f"OUT: a file of {suffix or 'no type'}, expected .csv or .parquet")
    stream = io.BytesIO()
    pq.write_table(pa.table({header: pa.array(identifiers, pa.string())}), stream, compression="zstd")
    return stream.getvalue()


def _require_key(audience: Path, own: bytes | None) -> bytes:
    """Return the key of the members' pseudonyms. Raises ConfigError."""
    required = manifest.read(audience).facts.get("key", key_fingerprint(PUBLISHED_KEY))
    if key := find_key(required, own):
        return key
    known = key_fingerprint(own) if own else "none"
    raise ConfigError(f"users are under the key {required}, ADLOOM_PSEUDONYM_KEY is {known}; set that key")


def _read_members(audience: Path, segment: str) -> frozenset[str]:
    """Return the pseudonyms of a segment's users. Raises ConfigError for an unknown segment."""
    index = SegmentIndex.load(audience / "members.npz")
    published = [name for name in index.names if name != SUPPRESSED]
    if segment not in published:
        raise ConfigError(f"SEGMENT {segment!r}: no published segment; expected one of {', '.join(published)}")
    chosen = index.pseudonyms[index.segment == index.names.index(segment)]
    return frozenset(np.char.decode(chosen, "ascii").tolist())


def _read_pairs(uri: str, column: str, store: Store) -> Iterator[tuple[str, str | None]]:
    """Yield user_id and a column of a table of Parquet or CSV files as text."""
    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        files = [file for file in store.list(uri) if file.path.endswith((".csv", ".parquet"))]
        if not files:
            raise DataError(f"{uri}: no .csv or .parquet file; expected a table of user_id and {column}")
        for file in files:
            path = fetch_file(store, uri, file.path, Path(scratch))
            yield from _read_file(path, f"{uri} {file.path}", column)


def _read_file(path: Path, where: str, column: str) -> Iterator[tuple[str, str | None]]:
    import pyarrow as pa
    from pyarrow import csv, dataset

    texts = csv.ConvertOptions(column_types={"user_id": pa.string(), column: pa.string()}, strings_can_be_null=True)
    kind = dataset.CsvFileFormat(convert_options=texts) if path.suffix == ".csv" else dataset.ParquetFileFormat()
    try:
        table = dataset.dataset(path, format=kind)
        if missing := [name for name in ("user_id", column) if name not in table.schema.names]:
            raise DataError(f"{where}: no column {', '.join(missing)}; it has {', '.join(table.schema.names)}")
        for batch in table.to_batches(columns=["user_id", column], batch_size=ROWS_AT_A_TIME):
            users, values = (batch[name].cast(pa.string()).to_pylist() for name in ("user_id", column))
            yield from ((user, value) for user, value in zip(users, values, strict=True) if user is not None)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: not readable: {' '.join(str(error).split())[:200]}") from None


def write_audit(record: dict[str, Any], folder: Path) -> Path:
    """Write an audit record under a name of its own, and return its path."""
    name = f"{record['at'].replace(':', '')}-{record['segment']}-{record['sha256'][:12]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return folder / name
