"""S3: every URI that adloom reads or writes, with one attempt each."""

from collections.abc import Iterator
from dataclasses import dataclass

from adloom.config.params import Params
from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind, StopCheck
from adloom.doctor.s3_probe import S3Probe
from adloom.errors import AdloomError, AuthenticationError, PermissionDeniedError, UnavailableError
from adloom.storage.s3_errors import NoBucketError

SCHEME = "s3://"
ABSENT = "put the data there or correct the uri"
POLICY = "let a policy of its key allow it"


@dataclass(frozen=True)
class Use:
    """A URI in S3 and its role."""

    uri: str
    role: str
    written: bool  # else read, and must exist


def check(context: DoctorContext) -> Iterator[Finding]:
    """Check every S3 URI of params.yaml and the environment."""
    settings = context.settings
    uris = {
        "ADLOOM_DVC_REMOTE": settings.dvc_remote,
        "ADLOOM_CHECKPOINT_URI": settings.checkpoint_uri,
        "ADLOOM_LOG_URI": settings.log_uri,
        "ADLOOM_BUNDLE_URI": settings.bundle_uri,
    }
    written = [Use(uri, name, written=True) for name, uri in uris.items() if uri and uri.startswith(SCHEME)]
    uses, endpoint = [*_read_params(context.valid_params), *written], settings.s3_endpoint
    if not uses and not endpoint:
        yield Kind.S3_NOT_ASKED("neither params.yaml nor the environment has a URI in S3")
        return
    server = S3Probe(endpoint)
    try:
        for use in uses:
            yield from check_use(server, use)
        if not uses:
            yield _check_connection(server, endpoint or "")
    except StopCheck as error:
        yield error.finding


def check_use(server: S3Probe, use: Use) -> Iterator[Finding]:
    """Read or write one URI. Raises StopCheck if the server fails for all."""
    try:
        exists = server.has_objects(use.uri)
    except AdloomError as error:
        yield _classify(error, Kind.S3_DENIED)
        return
    if not use.written:
        absent = Kind.S3_NO_OBJECTS(f"{use.uri} ({use.role}): no object has this name or prefix", ABSENT)
        yield _report_success(use) if exists else absent
        return
    try:
        server.check_writable(use.uri)
    except AdloomError as error:
        yield _classify(error, Kind.S3_UNWRITABLE)
        return
    yield _report_success(use)
    if server.is_versioned(use.uri) is False:
        yield Kind.S3_UNVERSIONED(
            f"{use.uri} ({use.role}): its bucket keeps no old versions of objects",
            "enable versioning, unless the bucket has a backup",
        )


def _report_success(use: Use) -> Finding:
    return Kind.S3_OK(f"{use.uri} ({use.role}): {'read, written and deleted' if use.written else 'read'}")


def _check_connection(server: S3Probe, endpoint: str) -> Finding:
    try:
        server.check_connection()
    except AdloomError as error:
        return _classify(error, Kind.S3_DENIED)
    return Kind.S3_OK(f"{endpoint} answers; no URI names a bucket there")


def _classify(error: AdloomError, denied: Kind) -> Finding:
    """Return the finding of an error. Raises StopCheck if it affects every bucket."""
    if isinstance(error, PermissionDeniedError):
        return denied(str(error).rpartition("; ")[0], POLICY)
    if isinstance(error, UnavailableError):
        raise StopCheck(Kind.S3_NO_ANSWER.from_error(error)) from None
    if isinstance(error, AuthenticationError):
        raise StopCheck(Kind.S3_REFUSED.from_error(error)) from None
    return (Kind.S3_NO_BUCKET if isinstance(error, NoBucketError) else Kind.S3_FAILED).from_error(error)


def _read_params(params: Params | None) -> Iterator[Use]:
    if params is None:
        return
    read = {key: source.uri for key, source in params.sources.items()} | {
        "drift.reference": params.drift.reference or ""
    }
    read |= {"prepare.erasure_list": params.prepare.erasure_list or ""}
    yield from (Use(uri, role, written=False) for role, uri in read.items() if uri.startswith(SCHEME))
    if params.score.to.startswith(SCHEME):
        yield Use(params.score.to, "score.to", written=True)
