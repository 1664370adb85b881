"""S3 tried out: what is at an address, and whether something can be written there, without leaving anything behind."""

import secrets
from contextlib import suppress
from functools import partial

from adloom.errors import ExternalServiceError, PermissionDeniedError
from adloom.retry import RetryPolicy
from adloom.storage.s3_client import S3Client, S3Options, parse_address

ONCE = S3Options(read_timeout=5, retry=RetryPolicy(pauses=()))  # so that a dead address is reported in seconds


class S3Probe:
    """Requests that check a server; each raises the server's faults as errors of the project."""

    def __init__(self, endpoint: str | None, options: S3Options = ONCE) -> None:
        self._client = S3Client(endpoint, options)

    def check_connection(self) -> None:
        """Raise when the server does not answer, or does not accept the key."""
        with suppress(PermissionDeniedError), self._client.translate_errors("S3"):
            self._client.call(self._client.boto.list_buckets)

    def has_objects(self, uri: str) -> bool:
        """Return whether an object exists below a URI. Reads the first, because listing is another permission."""
        address = parse_address(uri)
        with self._client.translate_errors(uri):
            below = self._client.first_key(address.bucket, address.join(""))
            exact = self._client.first_key(address.bucket, address.key)
            if key := below or (exact if exact == address.key else None):
                request = partial(self._client.boto.get_object, Bucket=address.bucket, Key=key)
                self._client.call(request)["Body"].close()
        return key is not None

    def check_writable(self, uri: str) -> None:
        """Write a small object below a URI, read it back, and delete it with its version."""
        address, content = parse_address(uri), secrets.token_bytes(16)
        target = {"Bucket": address.bucket, "Key": address.join(f".adloom-doctor-{content.hex()}")}
        with self._client.translate_errors(uri):
            response = self._client.call(partial(self._client.boto.put_object, **target, Body=content))
            try:
                actual = self._client.read(target["Bucket"], target["Key"])
            finally:
                version = {"VersionId": response["VersionId"]} if "VersionId" in response else {}
                self._client.call(partial(self._client.boto.delete_object, **target, **version))
        if actual != content:
            raise ExternalServiceError(
                f"{uri}: an object was read back as another than was written; look into the server's log"
            )

    def is_versioned(self, uri: str) -> bool | None:
        """Return whether a URI's bucket keeps old versions; None when that may not be read."""
        bucket = parse_address(uri).bucket
        try:
            with self._client.translate_errors(uri):
                response = self._client.call(partial(self._client.boto.get_bucket_versioning, Bucket=bucket))
        except (PermissionDeniedError, ExternalServiceError):  # some S3 servers do not know the request
            return None
        return bool(response.get("Status") == "Enabled")
