"""
What S3 servers do wrong, made one line that says who can mend it, within 30 seconds.

What may pass (a server that is away, silent, overloaded, or that breaks off) is tried three times.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from tqdm import tqdm

from adloom.connection_errors import describe
from adloom.errors import (
    AuthenticationError,
    ConfigError,
    DataError,
    ExternalServiceError,
    PermissionDeniedError,
    UnavailableError,
)

Item = TypeVar("Item")
Made = TypeVar("Made")

TRANSFERS = 8  # objects at a time
REFUSED = frozenset({"401", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"})
DENIED = frozenset({"403", "AccessDenied"})
PASSING = frozenset({"RequestTimeout", "SlowDown"})
MENDED = {  # what a user mends beside credentials
    "AuthorizationHeaderMalformed": "it expects another region; set AWS_DEFAULT_REGION",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
CHANGED = frozenset({"412", "NoSuchKey", "PreconditionFailed"})


class NoBucketError(DataError):
    """The server has no bucket of this name."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds; these bring every fault to an end within 30."""

    connection: float = 3
    byte: float = 6  # without one more
    pauses: tuple[float, ...] = (1, 2)  # before the second try and before the third
    tries: float = 12  # after the first failure, in which another try may begin
    round: float = 8  # for connecting, once; more means that a host has several addresses, each with its own wait
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def tried(self, do: Callable[[], Made]) -> Made:
        """Do something, up to three times as long as it fails in a way that may pass."""
        until = float("inf")
        for pause in self.pauses:
            begun = self.clock()
            try:
                return do()
            except Exception as error:
                now = self.clock()
                until = min(until, now + self.tries)
                no_way = _unconnected(error) and now - begun > self.round
                if no_way or not _may_pass(error) or now + pause > until:
                    raise
            self.sleep(pause)
        return do()


PATIENCE = Patience()


def map_concurrently(do: Callable[[Item], Made], items: Iterable[Item], what: str, progress: bool) -> Sequence[Made]:
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
        ThreadPoolExecutor(TRANSFERS) as pool,
        tqdm(
            pool.map(unless_failed, things), total=len(things), unit="file", desc=what, delay=1, disable=not progress
        ) as done,
    ):
        return [*done]


def _unconnected(error: Exception) -> bool:
    from botocore import exceptions as known

    return isinstance(error, known.ConnectTimeoutError | known.EndpointConnectionError)


def _may_pass(error: Exception) -> bool:
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status >= 500 or status == 429 or error.response["Error"].get("Code") in PASSING
    broken = (known.ConnectionError, known.HTTPClientError, known.IncompleteReadError, known.FlexibleChecksumError)
    return isinstance(error, broken)


@contextmanager
def translate_errors(uri: str, endpoint: str | None) -> Iterator[None]:
    """Turn what boto3 raises into one line that says who can mend it."""
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
        raise _refusal(uri, server, dict(error.response["Error"])) from None
    except ValueError as error:  # an endpoint that is no URL
        raise ConfigError(f"{uri}: {error}; check AWS_ENDPOINT_URL_S3") from None
    except exceptions.ParamValidationError:
        raise ConfigError(f"{uri}: {_bucket(uri)} cannot be a bucket's name; correct the uri") from None
    except exceptions.BotoCoreError as error:
        raise UnavailableError(
            f"{uri}: no answer from {server}: {describe(error)}; check AWS_ENDPOINT_URL_S3"
        ) from None


def _refusal(uri: str, server: str, error: Mapping[str, Any]) -> Exception:
    code = error.get("Code", "")
    if code in REFUSED | DENIED:
        kind = AuthenticationError if code in REFUSED else PermissionDeniedError
        return kind(
            f"{uri}: {server} refused the credentials ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code in MENDED:
        return ConfigError(f"{uri}: {server} refused the request ({code}): {MENDED[code]}")
    if code == "NoSuchBucket":
        return NoBucketError(f"{uri}: no bucket {_bucket(uri)} at {server}; make it or correct the uri")
    if code in CHANGED:
        return DataError(
            f"{uri}: an object changed or went while it was read; try again, a source after `adloom snapshot`"
        )
    if code.isdigit() and code.startswith("4"):  # S3 has words for what a client does wrong
        return ConfigError(f"{uri}: {server} does not answer as S3 does ({code}); check AWS_ENDPOINT_URL_S3")
    return ExternalServiceError(f"{uri}: {server} answered {code}: {error.get('Message', '')}")


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]
