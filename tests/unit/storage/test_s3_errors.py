"""Errors of S3: which are transient, how long they may take, and their messages."""

from dataclasses import dataclass, replace

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)

from adloom.errors import AdloomError, AuthenticationError, ConfigError, DataError, ExternalServiceError
from adloom.retry import RetryPolicy
from adloom.storage.s3_client import S3Client, S3Options
from adloom.storage.s3_errors import S3_RETRY, NoBucketError, is_transient, translate_errors

NOWHERE = "http://127.0.0.1:9"


@dataclass
class Clock:
    """A clock that advances only when told to."""

    now: float = 0

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def policy(self) -> RetryPolicy:
        return replace(S3_RETRY, clock=lambda: self.now, sleep=self.advance)


@pytest.mark.parametrize(("addresses", "attempts"), [(1, 3), (2, 3), (3, 1), (8, 1)])
def test_a_host_with_several_dead_addresses_fails_within_half_a_minute(addresses: int, attempts: int) -> None:
    clock, starts = Clock(), list[float]()

    def connect() -> None:
        starts.append(clock.now)
        clock.advance(addresses * S3Options().connect_timeout)
        raise ConnectTimeoutError(endpoint_url=NOWHERE)

    with pytest.raises(ConnectTimeoutError):
        clock.policy().call(connect)
    assert len(starts) == attempts
    assert clock.now < 30


def test_a_server_that_is_silent_in_every_attempt_fails_within_half_a_minute() -> None:
    clock, starts = Clock(), list[float]()

    def upload() -> None:
        starts.append(clock.now)
        clock.advance(S3Options().read_timeout * (2 if len(starts) == 1 else 1))  # a part, then the abort of its upload
        raise ReadTimeoutError(endpoint_url=NOWHERE)

    with pytest.raises(ReadTimeoutError):
        clock.policy().call(upload)
    assert (len(starts), clock.now) == (3, 27)


def test_a_long_transfer_that_breaks_off_is_tried_again() -> None:
    clock, starts = Clock(), list[float]()

    def transfer() -> str:
        starts.append(clock.now)
        clock.advance(600)
        if len(starts) == 1:
            raise ReadTimeoutError(endpoint_url=NOWHERE)
        return "complete"

    assert clock.policy().call(transfer) == "complete"


def response(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (response("InternalError", 500), True),
        (response("TooManyRequests", 429), True),
        (response("SlowDown", 400), True),
        (response("RequestTimeout", 400), True),
        (response("AccessDenied", 403), False),
        (response("PreconditionFailed", 412), False),
        (response("NotImplemented", 501), False),
        (EndpointConnectionError(endpoint_url=NOWHERE), True),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (NoCredentialsError(), False),
        (ValueError(), False),
    ],
)
def test_transient_errors(error: Exception, expected: bool) -> None:
    assert is_transient(error, 1) is expected


@pytest.mark.parametrize(
    ("code", "kind", "next_step"),
    [
        ("AuthorizationHeaderMalformed", ConfigError, "set AWS_DEFAULT_REGION"),
        ("RequestTimeTooSkewed", ConfigError, "clock"),
        ("SignatureDoesNotMatch", AuthenticationError, "check AWS_ACCESS_KEY_ID"),
        ("AccessDenied", AdloomError, "check AWS_ACCESS_KEY_ID"),
        ("NoSuchBucket", NoBucketError, "no bucket shop at"),
        ("PreconditionFailed", DataError, "`adloom snapshot`"),
        ("418", ConfigError, "check AWS_ENDPOINT_URL_S3"),
        ("InternalError", ExternalServiceError, "answered InternalError"),
    ],
)
def test_an_error_code_becomes_one_line_with_the_next_step(code: str, kind: type[Exception], next_step: str) -> None:
    with pytest.raises(kind, match=next_step) as caught, translate_errors("s3://shop/a", NOWHERE):
        raise ClientError({"Error": {"Code": code}}, "ListObjectsV2")
    assert str(caught.value).startswith("s3://shop/a: ")
    assert "\n" not in str(caught.value)


def test_a_variable_that_boto3_does_not_understand_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "never")
    client = S3Client(NOWHERE)
    with (
        pytest.raises(ConfigError, match="s3://a: .*'when_required'.* got never; check .*AWS_"),
        client.translate_errors("s3://a"),
    ):
        client.list("a", "")


@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument", "SignatureDoesNotMatch", "AccessDenied", "403"])
@pytest.mark.parametrize(
    ("operation", "setting"),
    [
        ("PutObject", "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        ("UploadPart", "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        ("GetObject", "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"),
    ],
)
def test_a_server_that_refuses_checksums_is_told_to_go_without(code: str, operation: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{code}.*; .*set {setting}"), translate_errors("s3://shop/a", NOWHERE):
        raise ClientError({"Error": {"Code": code, "Message": "a header"}}, operation)
