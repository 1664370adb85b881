"""
S3: objects below s3://bucket/prefix. A dead address, a wrong key or a missing bucket is one line, within 30 seconds.

What may pass (a server that is away, silent, overloaded, or that breaks off) is tried three times. An object is sent in
one piece, so that it is whole or absent and nothing is left of one that was broken off; S3 takes 5 GB in one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from adloom.errors import ConfigError, DataError
from adloom.storage.base import SourceFile
from adloom.storage.manifest import MANIFEST, Manifest
from adloom.storage.s3_errors import PATIENCE, TRANSFERS, Item, Made, Patience, map_concurrently, translate_errors

BLOCK = 1 << 20


@dataclass(frozen=True)
class Address:
    """s3://bucket/key, where key may name an object or what lies below it."""

    bucket: str
    key: str

    def below(self, path: str) -> str:
        """Return the key of a path below this one."""
        return f"{self.key}/{path}" if self.key else path


def address(uri: str) -> Address:
    """Take s3://bucket/key apart. Raises ConfigError when there is no bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket; expected s3://bucket/prefix")
    return Address(bucket, key.strip("/"))


def _prefix(uri: str) -> Address:
    """Return where an artifact may go: never the root of a bucket, which belongs to more than one artifact."""
    at = address(uri)
    if not at.key:
        raise ConfigError(f"{uri}: a whole bucket; expected s3://bucket/prefix")
    return at


class S3Store:
    """Objects of an S3 server; credentials are found where every AWS tool finds them."""

    def __init__(self, endpoint: str | None, progress: bool, patience: Patience = PATIENCE) -> None:
        self._endpoint = endpoint
        self._progress = progress
        self._patience = patience

    @cached_property
    def _client(self) -> Any:
        import boto3

        return connect(boto3.Session(), self._endpoint, self._patience)

    def list(self, uri: str) -> list[SourceFile]:
        """Return the object a uri names, or all objects below it. Raises DataError when there are none."""
        return list(self._found(uri).values())

    def fetch(self, uri: str, folder: Path) -> Path:
        """
        Download the object a uri names, or all below it, and return the file or the folder.

        Of an artifact only what its manifest lists: a push that was broken off, or somebody else, may have left more.
        """
        at, found = address(uri), self._found(uri)
        with translate_errors(uri, self._endpoint):
            artifact = self._artifact(at, found)
        found = {key: file for key, file in found.items() if not artifact or key in artifact}

        def get(item: tuple[str, SourceFile]) -> Path:
            return self._get(at.bucket, item[0], item[1], folder)

        paths = self._each(uri, get, found.items())
        return paths[0] if at.key in found else folder

    def require(self, uri: str) -> None:
        """Raise when a uri is a whole bucket, or its bucket is not there or may not be looked into."""
        at = _prefix(uri)
        with translate_errors(uri, self._endpoint):
            self._patience.tried(lambda: self._client.list_objects_v2(Bucket=at.bucket, Prefix=at.key, MaxKeys=1))

    def push(self, folder: Path, uri: str) -> None:
        """
        Upload a folder's files below a uri, its manifest last; of what lay there only an older artifact is deleted.

        Raises ConfigError for a whole bucket. Objects that the older artifact's manifest does not list stay.
        """
        at, marker = _prefix(uri), address(uri).below(MANIFEST)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        keys = {at.below(path.relative_to(folder).as_posix()): path for path in paths}
        with translate_errors(uri, self._endpoint):
            before = self._objects(at)
            old = self._artifact(at, before) & before.keys()
            self._delete(at.bucket, old & {marker})
        self._each(uri, lambda key: self._put(at.bucket, key, keys[key]), sorted(keys.keys() - {marker}))
        with translate_errors(uri, self._endpoint):
            self._delete(at.bucket, old - keys.keys() - {marker})
        self._each(uri, lambda key: self._put(at.bucket, key, keys[key]), sorted(keys.keys() & {marker}))

    def remove(self, uri: str) -> None:
        """Delete the objects below a uri, an artifact's manifest first. Raises ConfigError for a whole bucket."""
        at = _prefix(uri)
        with translate_errors(uri, self._endpoint):
            found = self._objects(at).keys()
            marker = found & {at.below(MANIFEST)}
            self._delete(at.bucket, marker)
            self._delete(at.bucket, found - marker)

    def _artifact(self, at: Address, found: Mapping[str, SourceFile]) -> set[str]:
        """Return the keys of the artifact at an address, its manifest's own among them; none when there is none."""
        marker = at.below(MANIFEST)
        if marker not in found:
            return set()

        def read() -> Manifest:
            return Manifest.model_validate_json(self._client.get_object(Bucket=at.bucket, Key=marker)["Body"].read())

        try:
            return {marker, *map(at.below, self._patience.tried(read).files)}
        except ValidationError:  # somebody else's manifest.json
            return set()

    def _found(self, uri: str) -> dict[str, SourceFile]:
        """Return, by key and sorted, the objects below a uri, or else the one it names."""
        at = address(uri)
        with translate_errors(uri, self._endpoint):
            objects = self._objects(at)
        below = {key: file for key, file in objects.items() if key != at.key}
        if not objects:
            raise DataError(f"{uri}: no object of this name and none below it")
        return below or objects

    def _objects(self, at: Address) -> dict[str, SourceFile]:
        """Return, by key and sorted, the object at an address and those below it."""
        return self._patience.tried(lambda: dict(self._listed(at)))

    def _listed(self, at: Address) -> Iterator[tuple[str, SourceFile]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=at.bucket, Prefix=at.key)
        for page in pages:
            for entry in page.get("Contents", []):
                key = entry["Key"]
                inside = key.startswith(at.below("")) and not key.endswith("/")
                if inside or key == at.key:
                    path = key.removeprefix(at.below("")) if inside else PurePosixPath(key).name
                    yield key, SourceFile(path, entry["Size"], f"etag:{entry['ETag'].strip(chr(34))}")

    def _get(self, bucket: str, key: str, file: SourceFile, folder: Path) -> Path:
        """Download an object if it is still the one that was listed."""
        target = folder / file.path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"s3://{bucket}/{key}: a key that leads out of its folder")
        target.parent.mkdir(parents=True, exist_ok=True)

        def download() -> None:
            got = self._client.get_object(Bucket=bucket, Key=key, IfMatch=file.version.removeprefix("etag:"))
            with target.open("wb") as stream:
                for block in got["Body"].iter_chunks(BLOCK):
                    stream.write(block)

        self._patience.tried(download)
        return target

    def _put(self, bucket: str, key: str, path: Path) -> None:
        def upload() -> None:
            with path.open("rb") as stream:
                self._client.put_object(Bucket=bucket, Key=key, Body=stream)

        self._patience.tried(upload)

    def _delete(self, bucket: str, keys: Iterable[str]) -> None:
        for key in sorted(keys):
            self._patience.tried(partial(self._client.delete_object, Bucket=bucket, Key=key))

    def _each(self, uri: str, do: Callable[[Item], Made], items: Iterable[Item]) -> Sequence[Made]:
        with translate_errors(uri, self._endpoint):
            return map_concurrently(do, items, uri, self._progress)


def connect(session: Any, endpoint: str | None, patience: Patience, **options: Any) -> Any:
    """Return boto3's client of a server; `Patience.tried` is what tries again, a body that breaks off included."""
    from botocore.config import Config

    config = Config(
        connect_timeout=patience.connection,
        read_timeout=patience.byte,
        retries={"total_max_attempts": 1},
        max_pool_connections=TRANSFERS,
    )
    region = session.region_name or "us-east-1"
    return session.client("s3", endpoint_url=endpoint, region_name=region, config=config, **options)
