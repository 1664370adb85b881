"""
Notice cached artifacts that are gone.

The server's cache gives out an artifact without looking whether its objects still exist. So every task notes where its
artifact lies before the server knows of it, and the first task of a run, which is never cached, looks at what is noted.
Where something is gone, or cannot be looked at, it gives out a new cache key: the tasks of that table run again.

A key is `<digest of the source>.<generation>`. Notes lie in S3 as <table>/<digest>/<generation>/<name>, beside a mark
that makes the generation. A key without a mark is never given out twice, so lost notes cost work and never a failure.
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
    """Where an artifact lies, and how many files it has."""

    uri: str
    files: int


def open_notes(settings: Settings, project: str) -> ObjectStore | None:
    """Return where a project's notes lie, None where the environment names no place for them."""
    uri = settings.checkpoint_uri
    return open_object_store(f"{uri.rstrip('/')}/cache/{project}", settings.s3_endpoint) if uri else None


def assign_keys(digests: Mapping[str, str], place: ObjectStore | None, settings: Settings) -> dict[str, str]:
    """Return the cache key of each table, given the digest of its source, "" for a table without one."""
    if place is None:
        logger.warning("ADLOOM_CHECKPOINT_URI: not set; nothing is noted of what is cached, so every task runs")
        return {table: f"{digest}.{_new_generation()}" for table, digest in digests.items()}
    return {
        table: f"{digest}.{_current_generation(note_folder(table, digest), place, settings)}"
        for table, digest in digests.items()
    }


def note_folder(table: str, key: str) -> str:
    """Return where the notes about a table lie, given the digest of its source or its cache key."""
    digest, _, generation = key.partition(".")
    return "/".join(part for part in (table, digest or NO_SOURCE, generation) if part)


def write_note(uri: str, folder: Path, lanes: Iterable[str], place: ObjectStore) -> None:
    """Note under each lane that an artifact of so many files lies at a URI."""
    files = sum(path.is_file() for path in folder.rglob("*"))
    text = json.dumps(ArtifactNote(uri=uri, files=files)).encode()
    for one in lanes:
        write_object(place, f"{one}/{hashlib.sha256(uri.encode()).hexdigest()[:16]}", text)


def _current_generation(where: str, place: ObjectStore, settings: Settings) -> str:
    """Return the generation whose artifacts all exist, a new one where there is none."""
    found = place.list(f"{where}/")
    if marks := [name for name in found if name.endswith(f"/{MARK}")]:
        current = max(marks).removesuffix(f"/{MARK}")
        noted = [name for name in found if name.startswith(f"{current}/") and not name.endswith(f"/{MARK}")]
        gone = map_concurrently(
            lambda name: _find_missing(json.loads(read_object(place, name)), settings),
            noted,
            "cached artifacts",
            progress=False,
        )
        if not any(gone):
            return current.rpartition("/")[2]
        logger.warning("%s: is gone; what is made from %s is made again", next(filter(None, gone)), where)
    new = _new_generation()
    write_object(place, f"{where}/{new}/{MARK}", b"")
    return new


def _find_missing(noted: ArtifactNote, settings: Settings) -> str | None:
    """Return an artifact's URI when it lacks files or is unreadable. Raises ExternalServiceError without an answer."""
    scheme, _, rest = noted["uri"].rpartition("://")
    try:
        bucket, _, key = rest.partition("/")
        place = _open_bucket(scheme, bucket, settings) if scheme else open_object_store(rest, None)
        found = place.list(f"{key}/" if scheme else "")
    except UserError as error:
        logger.warning("%s; what cannot be looked at is made again", error)
        return noted["uri"]
    return noted["uri"] if len(found) < noted["files"] else None


def _open_bucket(scheme: str, bucket: str, settings: Settings) -> ObjectStore:
    """Return a bucket of the pipelines' artifacts: of the server in the cluster, or of the S3 that stages use."""
    if scheme == "s3":
        return open_object_store(f"s3://{bucket}", settings.s3_endpoint)
    if scheme != "minio":
        raise ConfigError(f"{scheme}://{bucket}: expected s3:// or minio:// as root of the pipelines' artifacts")
    secret = settings.artifacts_secret_key and settings.artifacts_secret_key.get_secret_value()
    keys = {"aws_access_key_id": settings.artifacts_access_key, "aws_secret_access_key": secret}
    options = S3Options(session={name: value for name, value in keys.items() if value})
    return open_object_store(f"s3://{bucket}", settings.artifacts_endpoint, options)


def _new_generation() -> str:
    """Return a name that sorts after the earlier ones, also within the second that S3 tells times in."""
    return f"{time.time_ns():016x}"
