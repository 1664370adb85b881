"""
Detect missing artifacts of cached tasks.

The server's cache returns an artifact without checking that its objects still exist. So every task writes a note of its
artifact's address before the server knows the artifact. The first task of a run, which is never cached, checks the
notes. If an artifact is missing or unreadable, the table gets a new cache key, and its tasks run again.

A key is `<digest of the source>.<generation>`. Notes are in S3 as <table>/<digest>/<generation>/<name>, next to a mark
that creates the generation. A key without a mark is never reused, so lost notes cost work but cause no failure.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from adloom.config.settings import Settings
from adloom.errors import ConfigError, UserError
from adloom.storage.base import ObjectStore, read_object, write_object
from adloom.storage.router import open_object_store
from adloom.storage.s3_client import S3Options
from adloom.storage.transfers import map_concurrently

MARK = "begun"
NO_SOURCE = "none"

logger = logging.getLogger(__name__)


class ArtifactNote(TypedDict):
    """An artifact's address and number of files."""

    uri: str
    files: int


def open_notes(settings: Settings, project: str) -> ObjectStore | None:
    """Return the store of a project's notes, None without ADLOOM_CHECKPOINT_URI."""
    uri = settings.checkpoint_uri
    return open_object_store(f"{uri.rstrip('/')}/cache/{project}", settings.s3_endpoint) if uri else None


def assign_keys(digests: Mapping[str, str], notes: ObjectStore | None, settings: Settings) -> dict[str, str]:
    """Return each table's cache key from the digest of its source, "" for a table without one."""
    if notes is None:
        logger.warning("ADLOOM_CHECKPOINT_URI: not set; cached artifacts cannot be checked, so every task runs")
        return {table: f"{digest}.{_new_generation()}" for table, digest in digests.items()}
    return {
        table: f"{digest}.{_current_generation(note_folder(table, digest), notes, settings)}"
        for table, digest in digests.items()
    }


def note_folder(table: str, key: str) -> str:
    """Return the folder of a table's notes, from the digest of its source or its cache key."""
    digest, _, generation = key.partition(".")
    return "/".join(part for part in (table, digest or NO_SOURCE, generation) if part)


def write_note(uri: str, artifact: Path, folders: Iterable[str], notes: ObjectStore) -> None:
    """Write a note about an artifact into each folder."""
    files = sum(path.is_file() for path in artifact.rglob("*"))
    text = json.dumps(ArtifactNote(uri=uri, files=files)).encode()
    for folder in folders:
        write_object(notes, f"{folder}/{hashlib.sha256(uri.encode()).hexdigest()[:16]}", text)


def _current_generation(folder: str, notes: ObjectStore, settings: Settings) -> str:
    """Return the newest generation if all its artifacts exist, else a new one."""
    names = notes.list(f"{folder}/")
    if marks := [name for name in names if name.endswith(f"/{MARK}")]:
        current = max(marks).removesuffix(f"/{MARK}")
        missing = map_concurrently(
            lambda name: _find_missing(json.loads(read_object(notes, name)), settings),
            [name for name in names if name.startswith(f"{current}/") and not name.endswith(f"/{MARK}")],
            "cached artifacts",
            progress=False,
        )
        if not any(missing):
            return current.rpartition("/")[2]
        logger.warning("%s: missing; the tasks that depend on %s run again", next(filter(None, missing)), folder)
    generation = _new_generation()
    write_object(notes, f"{folder}/{generation}/{MARK}", b"")
    return generation


def _find_missing(note: ArtifactNote, settings: Settings) -> str | None:
    """Return an artifact's URI if it lacks files or is unreadable. Raises ExternalServiceError without an answer."""
    scheme, _, rest = note["uri"].rpartition("://")
    try:
        bucket, _, key = rest.partition("/")
        store = _open_bucket(scheme, bucket, settings) if scheme else open_object_store(rest, None)
        objects = store.list(f"{key}/" if scheme else "")
    except UserError as error:
        logger.warning("%s; the tasks that depend on it run again", error)
        return note["uri"]
    return note["uri"] if len(objects) < note["files"] else None


def _open_bucket(scheme: str, bucket: str, settings: Settings) -> ObjectStore:
    if scheme == "s3":
        return open_object_store(f"s3://{bucket}", settings.s3_endpoint)
    if scheme != "minio":
        raise ConfigError(f"{scheme}://{bucket}: expected s3:// or minio:// as root of the pipelines' artifacts")
    secret = settings.artifacts_secret_key and settings.artifacts_secret_key.get_secret_value()
    keys = {"aws_access_key_id": settings.artifacts_access_key, "aws_secret_access_key": secret}
    options = S3Options(session={name: value for name, value in keys.items() if value})
    return open_object_store(f"s3://{bucket}", settings.artifacts_endpoint, options)


def _new_generation() -> str:
    """Return a name that sorts after earlier ones; S3 itself stores whole seconds only."""
    return f"{time.time_ns():016x}"
