"""Errors of S3 servers: which are transient, and a one-line message that names the next step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adloom.connection_errors import describe_error
from adloom.errors import (
    AuthenticationError,
    ConfigError,
    DataError,
    ExternalServiceError,
    PermissionDeniedError,
    UnavailableError,
)
from adloom.retry import RetryPolicy

UNAUTHENTICATED = frozenset({"401", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"})
DENIED = frozenset({"403", "AccessDenied"})
TRANSIENT = frozenset({"RequestTimeout", "SlowDown"})
FIXES = {  # by error code, apart from credentials
    "AuthorizationHeaderMalformed": "it expects another region; set AWS_DEFAULT_REGION",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
AMAZON = "https://s3.amazonaws.com"
CHECKSUMS = {  # the setting that leaves out the checksums of a request
    "GetObject": "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required",
    **dict.fromkeys(
        ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"),
        "AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
    ),
}
NO_CHECKSUMS = frozenset(  # codes of servers that refuse checksums
    {"501", "BadDigest", "InvalidArgument", "InvalidRequest", "MalformedTrailerError", "MissingContentLength"}
    | {"NotImplemented", "XAmzContentSHA256Mismatch"}
)
CHANGED = frozenset({"412", "NoSuchKey", "PreconditionFailed"})
CONNECT_LIMIT = 8  # seconds; a host with many addresses takes longer to fail, and is not tried again


class NoBucketError(DataError):
    """The server has no bucket of this name."""


def is_transient(error: Exception, seconds: float) -> bool:
    """Return whether another attempt may succeed after an error, given how long the attempt took."""
    from botocore import exceptions

    if isinstance(error, exceptions.ConnectTimeoutError | exceptions.EndpointConnectionError):
        return seconds <= CONNECT_LIMIT
    if isinstance(error, exceptions.ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return (status >= 500 and status != 501) or status == 429 or error.response["Error"].get("Code") in TRANSIENT
    broken = exceptions.IncompleteReadError | exceptions.FlexibleChecksumError
    return isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | broken)


S3_RETRY = RetryPolicy(pauses=(1, 2), is_transient=is_transient, budget=12)  # with S3Options, ends within 30 seconds


@contextmanager
def translate_errors(uri: str, endpoint: str | None) -> Iterator[None]:
    """Translate boto3's errors into the project's."""
    from botocore import exceptions

    server = endpoint or "Amazon S3"
    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise AuthenticationError(f"{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except (
        exceptions.ProfileNotFound,
        exceptions.InvalidConfigError,
        exceptions.CredentialRetrievalError,
        exceptions.NoAuthTokenError,
        exceptions.SSOError,
        exceptions.TokenRetrievalError,
    ) as error:
        raise AuthenticationError(f"{uri}: no credentials: {error}; check AWS_PROFILE, or log in to it again") from None
    except exceptions.ClientError as error:
        raise _translate_response(uri, server, error) from None
    except exceptions.ParamValidationError:
        raise ConfigError(f"{uri}: {_bucket(uri)} cannot be a bucket's name; correct the URI") from None
    except exceptions.FlexibleChecksumError as error:
        raise ExternalServiceError(
            f"{uri}: {server} sent other bytes than its checksum says: {error}; look for a proxy that changes them"
        ) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError) as error:
        raise UnavailableError(
            f"{uri}: no answer from {server}: {describe_error(error, endpoint or AMAZON)}; check AWS_ENDPOINT_URL_S3"
        ) from None
    except (ValueError, exceptions.BotoCoreError) as error:  # a variable or profile that boto3 does not understand
        reason = str(error).rstrip(".")
        raise ConfigError(f"{uri}: {reason}; check AWS_ENDPOINT_URL_S3 and the other AWS_… variables") from None


def _translate_response(uri: str, server: str, response: Any) -> Exception:
    error, setting = response.response["Error"], CHECKSUMS.get(response.operation_name)
    code = error.get("Code", "")
    if code in UNAUTHENTICATED | DENIED:
        return _translate_refusal(f"{uri}: {server} refused the credentials ({code})", code, setting)
    if code in FIXES:
        return ConfigError(f"{uri}: {server} refused the request ({code}): {FIXES[code]}")
    if code == "NoSuchBucket":
        return NoBucketError(f"{uri}: no bucket {_bucket(uri)} at {server}; make it or correct the uri")
    if code in CHANGED:
        return DataError(
            f"{uri}: an object changed or was deleted during the read; try again, a source after `adloom snapshot`"
        )
    if code.isdigit() and code.startswith("4"):  # S3 names client errors in words
        return ConfigError(f"{uri}: {server} does not answer as S3 does ({code}); check AWS_ENDPOINT_URL_S3")
    advice = f"; if it knows no checksums, set {setting}" if setting and code in NO_CHECKSUMS else ""
    kind = ConfigError if advice else ExternalServiceError
    return kind(f"{uri}: {server} answered {code}: {error.get('Message', '')}{advice}")


def _translate_refusal(refusal: str, code: str, setting: str | None) -> Exception:
    advice = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if setting and code in DENIED | {"SignatureDoesNotMatch"}:
        advice += f", or set {setting} for a server that knows no checksums"
    return (AuthenticationError if code in UNAUTHENTICATED else PermissionDeniedError)(f"{refusal}; {advice}")


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]
