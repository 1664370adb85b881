"""S3 tried out: what is at an address, and whether something can be written there, without leaving anything behind."""

import secrets
from contextlib import suppress
from functools import cached_property
from typing import Any

from adloom.errors import ExternalServiceError, PermissionDeniedError
from adloom.storage.s3 import address, connect
from adloom.storage.s3_errors import Patience, translate_errors

ONCE = Patience(connection=3, byte=5, pauses=())  # one try, so that a dead address is told in seconds


class S3Probe:
    """Questions to an S3 server; each raises what `asking` makes of the server's faults."""

    def __init__(self, endpoint: str | None, patience: Patience = ONCE) -> None:
        self._endpoint = endpoint
        self._patience = patience

    def greet(self) -> None:
        """Raise when the server does not answer, or does not accept the key."""
        with suppress(PermissionDeniedError), translate_errors("S3", self._endpoint):
            self._patience.tried(self._client.list_buckets)

    def look(self, uri: str) -> bool:
        """Return whether there is an object below a uri; the first is opened, for listing a bucket is another right."""
        at = address(uri)
        with translate_errors(uri, self._endpoint):
            below, named = self._first(at.bucket, at.below("")), self._first(at.bucket, at.key)
            first = below or (named if named == at.key else None)
            if first:
                self._open(Bucket=at.bucket, Key=first).close()
        return first is not None

    def try_out(self, uri: str) -> None:
        """Write a small object below a uri, read it back and remove it, with its version where versions are kept."""
        at, content = address(uri), secrets.token_bytes(16)
        place = {"Bucket": at.bucket, "Key": at.below(f".adloom-doctor-{content.hex()}")}
        with translate_errors(uri, self._endpoint):
            made = self._patience.tried(lambda: self._client.put_object(**place, Body=content))
            try:
                read = self._open(**place).read()
            finally:
                version = {"VersionId": made["VersionId"]} if "VersionId" in made else {}
                self._patience.tried(lambda: self._client.delete_object(**place, **version))
        if read != content:
            raise ExternalServiceError(
                f"{uri}: an object was read back as another than was written; look into the server's log"
            )

    def versioned(self, uri: str) -> bool | None:
        """Return whether a uri's bucket keeps what is overwritten or deleted; None when that may not be asked."""
        bucket = address(uri).bucket
        try:
            with translate_errors(uri, self._endpoint):
                said = self._patience.tried(lambda: self._client.get_bucket_versioning(Bucket=bucket))
        except (PermissionDeniedError, ExternalServiceError):  # not all servers that speak S3 know the question
            return None
        return bool(said.get("Status") == "Enabled")

    def _first(self, bucket: str, prefix: str) -> str | None:
        """Return the first key that begins so, None when there is none."""
        found = self._patience.tried(lambda: self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1))
        return next((str(entry["Key"]) for entry in found.get("Contents", [])), None)

    def _open(self, **place: str) -> Any:
        return self._patience.tried(lambda: self._client.get_object(**place))["Body"]

    @cached_property
    def _client(self) -> Any:
        import boto3

        return connect(boto3.Session(), self._endpoint, self._patience)
