"""
S3: objects below s3://bucket/prefix. A dead address, a wrong key or a missing bucket is one line, within 30 seconds.

What may pass (a server that is away, silent, overloaded, or that breaks off) is tried three times. An object is sent in
one piece, so that it is whole or absent and nothing is left of one that was broken off; S3 takes 5 GB in one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any, TypeVar

from tqdm import tqdm

from adloom.errors import DataError, OutsideError, ParamsError
from adloom.io.manifest import MANIFEST
from adloom.io.store import SourceFile

Item = TypeVar("Item")
Made = TypeVar("Made")

TRANSFERS = 8  # objects at a time
BLOCK = 1 << 20
REFUSED = frozenset(
    {"401", "403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
)
PASSING = frozenset({"RequestTimeout", "SlowDown"})
CHANGED = frozenset({"404", "412", "NoSuchKey", "PreconditionFailed"})


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds; these bring every fault to an end within 30."""

    connection: float = 3
    byte: float = 6  # without one more
    pauses: tuple[float, ...] = (1, 2)  # before the second try and before the third
    tries: float = 12  # after the first failure, in which another try may begin


PATIENCE = Patience()


@dataclass(frozen=True)
class Address:
    """s3://bucket/key, where key may name an object or what lies below it."""

    bucket: str
    key: str

    def below(self, path: str) -> str:
        """Return the key of a path below this one."""
        return f"{self.key}/{path}" if self.key else path


def address(uri: str) -> Address:
    """Take s3://bucket/key apart. Raises ParamsError when there is no bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ParamsError(f"{uri}: no bucket; expected s3://bucket/prefix")
    return Address(bucket, key.strip("/"))


class S3Store:
    """Objects of an S3 server; credentials are found where every AWS tool finds them."""

    def __init__(self, endpoint: str | None, progress: bool, patience: Patience = PATIENCE) -> None:
        self._endpoint = endpoint
        self._progress = progress
        self._patience = patience

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=self._patience.connection,
            read_timeout=self._patience.byte,
            retries={"total_max_attempts": 1},  # `_tried` tries again, a body that breaks off included
            max_pool_connections=TRANSFERS,
        )
        session = boto3.Session()
        region = session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=self._endpoint, region_name=region, config=config)

    def list(self, uri: str) -> list[SourceFile]:
        """Return the object a uri names, or all objects below it. Raises DataError when there are none."""
        return list(self._found(uri).values())

    def fetch(self, uri: str, folder: Path) -> Path:
        """Download the object a uri names, or all below it, and return the file or the folder."""
        at, found = address(uri), self._found(uri)

        def get(item: tuple[str, SourceFile]) -> Path:
            return self._get(at.bucket, item[0], item[1], folder)

        paths = self._each(uri, get, found.items())
        return paths[0] if at.key in found else folder

    def require(self, uri: str) -> None:
        """Raise when a uri's bucket is not there, or may not be looked into."""
        at = address(uri)
        with _asking(uri, self._endpoint):
            self._tried(lambda: self._client.list_objects_v2(Bucket=at.bucket, Prefix=at.key, MaxKeys=1))

    def push(self, folder: Path, uri: str) -> None:
        """Upload a folder's files below a uri, its manifest last; what lay there and is no part of it is deleted."""
        at, marker = address(uri), address(uri).below(MANIFEST)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        keys = {at.below(path.relative_to(folder).as_posix()): path for path in paths}
        with _asking(uri, self._endpoint):
            before = self._objects(at).keys()
            self._delete(at.bucket, before & {marker})
        self._each(uri, lambda key: self._put(at.bucket, key, keys[key]), sorted(keys.keys() - {marker}))
        with _asking(uri, self._endpoint):
            self._delete(at.bucket, before - keys.keys() - {marker})
        self._each(uri, lambda key: self._put(at.bucket, key, keys[key]), sorted(keys.keys() & {marker}))

    def _found(self, uri: str) -> dict[str, SourceFile]:
        """Return, by key and sorted, the objects below a uri, or else the one it names."""
        at = address(uri)
        with _asking(uri, self._endpoint):
            objects = self._objects(at)
        below = {key: file for key, file in objects.items() if key != at.key}
        if not objects:
            raise DataError(f"{uri}: no object of this name and none below it")
        return below or objects

    def _objects(self, at: Address) -> dict[str, SourceFile]:
        """Return, by key and sorted, the object at an address and those below it."""
        return self._tried(lambda: dict(self._listed(at)))

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

        self._tried(download)
        return target

    def _put(self, bucket: str, key: str, path: Path) -> None:
        def upload() -> None:
            with path.open("rb") as stream:
                self._client.put_object(Bucket=bucket, Key=key, Body=stream)

        self._tried(upload)

    def _delete(self, bucket: str, keys: Iterable[str]) -> None:
        for key in sorted(keys):
            self._tried(partial(self._client.delete_object, Bucket=bucket, Key=key))

    def _each(self, uri: str, do: Callable[[Item], Made], items: Iterable[Item]) -> Sequence[Made]:
        """Do one thing for each item, several at a time; after a failure none is begun."""
        things, failed = [*items], Event()

        def unless_failed(item: Item) -> Made:
            if failed.is_set():
                raise CancelledError  # never seen: what failed was begun before, so it is raised first
            try:
                return do(item)
            except BaseException:
                failed.set()
                raise

        with (
            _asking(uri, self._endpoint),
            ThreadPoolExecutor(TRANSFERS) as pool,
            tqdm(
                pool.map(unless_failed, things),
                total=len(things),
                unit="file",
                desc=uri,
                delay=1,
                disable=not self._progress,
            ) as d,
        ):
            return [*d]

    def _tried(self, do: Callable[[], Made]) -> Made:
        """Do something, up to three times as long as it fails in a way that may pass."""
        until = float("inf")
        for pause in self._patience.pauses:
            try:
                return do()
            except Exception as error:
                until = min(until, time.monotonic() + self._patience.tries)
                if not _may_pass(error) or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
        return do()


def _may_pass(error: Exception) -> bool:
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or status == 429 or error.response["Error"].get("Code") in PASSING
    broken = (known.ConnectionError, known.HTTPClientError, known.IncompleteReadError, known.FlexibleChecksumError)
    return isinstance(error, broken)


@contextmanager
def _asking(uri: str, endpoint: str | None) -> Iterator[None]:
    """Turn what boto3 raises into one line that says who can mend it."""
    from botocore import exceptions, parsers

    server = endpoint or "Amazon S3"
    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise ParamsError(f"{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except exceptions.ClientError as error:
        raise _refusal(uri, server, dict(error.response["Error"])) from None
    except ValueError as error:  # an endpoint that is no URL
        raise ParamsError(f"{uri}: {error}; check AWS_ENDPOINT_URL_S3") from None
    except exceptions.ParamValidationError:
        raise ParamsError(f"{uri}: {address(uri).bucket} cannot be a bucket's name; correct the uri") from None
    except parsers.ResponseParserError:
        raise ParamsError(f"{uri}: {server} does not answer as S3 does; check AWS_ENDPOINT_URL_S3") from None
    except exceptions.BotoCoreError as error:
        raise OutsideError(f"{uri}: no answer from {server}: {error}; check AWS_ENDPOINT_URL_S3") from None


def _refusal(uri: str, server: str, error: Mapping[str, Any]) -> Exception:
    code = error.get("Code", "")
    if code in REFUSED:
        return ParamsError(
            f"{uri}: {server} refused the credentials ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code == "NoSuchBucket":
        return DataError(f"{uri}: no bucket {address(uri).bucket} at {server}; make it or correct the uri")
    if code in CHANGED:
        return DataError(
            f"{uri}: an object changed or went while it was read; try again, a source after `adloom snapshot`"
        )
    return OutsideError(f"{uri}: {server} answered {code}: {error.get('Message', '')}")
