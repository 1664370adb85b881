"""
The S3 client. Timeouts and retries end every fault within 30 seconds.

Uploads use boto3's transfer manager: S3 limits a request to 5 GB. Downloads are single requests, which have no limit;
the transfer manager would send no If-Match for a small object, and verify no checksum of a large one.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from adloom.errors import ConfigError
from adloom.retry import RetryPolicy
from adloom.storage.base import ObjectInfo
from adloom.storage.s3_errors import S3_RETRY, translate_errors
from adloom.storage.transfers import CONCURRENCY

BLOCK = 1 << 20  # bytes
MULTIPART_THRESHOLD = 64 << 20  # bytes; a smaller object is one request
PART = 16 << 20  # bytes; boto3 takes larger parts for an object that would have more than 10,000


@dataclass(frozen=True)
class Address:
    """A parsed s3:// URI."""

    bucket: str
    key: str

    def join(self, path: str) -> str:
        """Return the key of a path below this one."""
        return f"{self.key}/{path}" if self.key else path


def parse_address(uri: str) -> Address:
    """Split s3://bucket/key, without slashes at the end. Raises ConfigError when there is no bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket; expected s3://bucket/prefix")
    return Address(bucket, key.rstrip("/"))


@dataclass(frozen=True)
class S3Options:
    """Timeouts in seconds, retries, and arguments of boto3."""

    connect_timeout: float = 3  # for each address of the host
    read_timeout: float = 6  # for the next byte
    retry: RetryPolicy = S3_RETRY
    session: Mapping[str, Any] = field(default_factory=dict)  # arguments of boto3.Session
    files: Mapping[str, str] = field(default_factory=dict)  # botocore's config_file and credentials_file
    client: Mapping[str, Any] = field(default_factory=dict)  # arguments of the client: use_ssl, verify


class S3Client:
    """Requests to an S3 server, with retries."""

    def __init__(self, endpoint: str | None, options: S3Options | None = None) -> None:
        self._endpoint, self._options = endpoint, options or S3Options()
        self.call = self._options.retry.call

    def translate_errors(self, uri: str) -> AbstractContextManager[None]:
        """Translate boto3's errors, naming this URI."""
        return translate_errors(uri, self._endpoint)

    def list(self, bucket: str, prefix: str) -> dict[str, ObjectInfo]:
        """Return the objects of a prefix by key, sorted."""
        return self.call(lambda: dict(sorted(self._iterate(bucket, prefix), key=lambda item: item[0])))

    def first_key(self, bucket: str, prefix: str) -> str | None:
        """Return the first key of a prefix."""
        page = self.call(lambda: self.boto.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1))
        return next((str(entry["Key"]) for entry in page.get("Contents", [])), None)

    def put(self, path: Path, bucket: str, key: str, arguments: Mapping[str, str] | None = None) -> None:
        """Upload a file; `arguments` are boto3's ExtraArgs."""
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        config = TransferConfig(
            multipart_threshold=MULTIPART_THRESHOLD,
            multipart_chunksize=PART,
            use_threads=False,  # whole files are transferred in parallel
            preferred_transfer_client="classic",
        )

        def upload() -> None:
            with create_transfer_manager(self.boto, config) as manager:
                manager.upload(str(path), bucket, key, extra_args=dict(arguments or {})).result()

        self.call(upload)

    def get(self, bucket: str, key: str, path: Path, version: str = "") -> None:
        """Download an object atomically; `version` is the required ETag."""
        condition = {"IfMatch": version} if version else {}
        temporary = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()}.partial")  # never too long

        def download() -> None:
            response = self.boto.get_object(Bucket=bucket, Key=key, **condition)
            with temporary.open("wb") as stream:
                for block in response["Body"].iter_chunks(BLOCK):
                    stream.write(block)

        try:
            self.call(download)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, bucket: str, key: str) -> bytes:
        """Return the content of a small object."""
        return self.call(lambda: bytes(self.boto.get_object(Bucket=bucket, Key=key)["Body"].read()))

    def read_start(self, bucket: str, key: str, size: int) -> bytes:
        """Return up to `size` bytes from the start of an object."""
        ranged = partial(self.boto.get_object, Bucket=bucket, Key=key, Range=f"bytes=0-{size - 1}")
        try:
            return self.call(lambda: bytes(ranged()["Body"].read()))
        except self.boto.exceptions.ClientError as error:
            if error.response["Error"].get("Code") == "InvalidRange":  # an empty object
                return b""
            raise

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object if it exists."""
        self.call(partial(self.boto.delete_object, Bucket=bucket, Key=key))

    @cached_property
    def boto(self) -> Any:
        """The client of boto3, created at the first request."""
        import boto3
        from botocore.config import Config
        from botocore.session import Session

        options, core = self._options, Session()
        for name, file in options.files.items():
            core.set_config_variable(name, file)
        session = boto3.Session(botocore_session=core, **options.session)
        config = Config(
            connect_timeout=options.connect_timeout,
            read_timeout=options.read_timeout,
            retries={"total_max_attempts": 1},  # RetryPolicy repeats the whole call, with its body
            max_pool_connections=CONCURRENCY,
        )
        region = session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=self._endpoint, region_name=region, config=config, **options.client)

    def _iterate(self, bucket: str, prefix: str) -> Iterator[tuple[str, ObjectInfo]]:
        for page in self.boto.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"], ObjectInfo(entry["Size"], entry["LastModified"], entry["ETag"].strip('"'))
