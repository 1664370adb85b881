"""MLflow: whether the server or database can be used, and its files be written and read from here."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from adloom.doctor import mlflow_probe as probe
from adloom.doctor.checks.machine import find_write_error
from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind, StopCheck
from adloom.doctor.s3_probe import S3Probe
from adloom.errors import AdloomError, AuthenticationError, UnavailableError
from adloom.tracking.mlflow_server import MlflowConnection

SERVERS = {"http", "https"}
FAULTS: dict[type[AdloomError], Kind] = {
    UnavailableError: Kind.MLFLOW_NO_ANSWER,
    AuthenticationError: Kind.MLFLOW_REFUSED,
    probe.ApiError: Kind.MLFLOW_NO_API,
    probe.HostError: Kind.MLFLOW_HOST,
    probe.DatabaseError: Kind.MLFLOW_DATABASE,
    probe.SchemaError: Kind.MLFLOW_SCHEMA,
}


def check(context: DoctorContext) -> Iterator[Finding]:
    """Try out what MLFLOW_TRACKING_URI names, without making a database or leaving anything behind."""
    if not is_installed("mlflow"):
        yield Kind.MLFLOW_NOT_ASKED("MLflow is not installed here; pip install 'adloom[train]' brings it")
        return
    server = MlflowConnection(
        context.settings.tracking_uri, context.valid_params.project if context.valid_params else ""
    )
    try:
        if urlsplit(server.uri).scheme in SERVERS:
            yield compare_versions(server, probe.fetch_version(server), probe.client_version())
        else:
            yield from _database(server)
        yield from _files(server, probe.find_artifact_location(server), context)
    except StopCheck as error:
        yield error.finding
    except AdloomError as error:
        yield next((kind for type_, kind in FAULTS.items() if isinstance(error, type_)), Kind.MLFLOW_FAILED).from_error(
            error
        )


def compare_versions(server: MlflowConnection, theirs: str, ours: str) -> Finding:
    """Compare the versions of a server and its client, without what comes after the second number."""
    said = f"MLflow at {server.name}: version {theirs}"
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Kind.MLFLOW_OK(said)
    return Kind.MLFLOW_VERSION(f"{said}, the client here is {ours}", f"bring both to {max(theirs, ours, key=_numbers)}")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")[:2]]


def _database(server: MlflowConnection) -> Iterator[Finding]:
    """Say how a database is; one that is new or cannot be used is the end of the questions."""
    if not is_installed("sqlalchemy"):
        raise StopCheck(
            Kind.MLFLOW_NOT_ASKED(f"{server.name}: only servers are reached from here, set MLFLOW_TRACKING_URI to one")
        )
    if file := server.database:
        if why := find_write_error(file.parent):
            raise StopCheck(
                Kind.MLFLOW_UNWRITABLE(f"{server.name}: {why}", "set MLFLOW_TRACKING_URI to what can be written")
            )
        if not file.is_file():
            raise StopCheck(Kind.MLFLOW_NEW(f"{server.name}: not there yet, the first run makes it"))
        _wait_for_lock(server)
    if probe.is_new(server):
        raise StopCheck(Kind.MLFLOW_NEW(f"{server.name}: has no tables yet, the first run makes them"))
    yield Kind.MLFLOW_OK(f"{server.name}: opened, client {probe.client_version()}")


def _wait_for_lock(server: MlflowConnection) -> None:
    try:
        server.assert_unlocked()
    except AdloomError as error:
        locked = "locked" in str(error)
        raise StopCheck((Kind.MLFLOW_LOCKED if locked else Kind.MLFLOW_DATABASE).from_error(error)) from None


def _files(server: MlflowConnection, location: str | None, context: DoctorContext) -> Iterator[Finding]:
    """Keep a file where runs keep theirs, and read it back."""
    if location is None:
        yield Kind.MLFLOW_OK(f"{server.name}: read, no experiment there yet")
        return
    scheme = urlsplit(location).scheme
    kept = Kind.MLFLOW_OK(f"{server.name}: read; a file kept at {location}, read back and removed")
    if scheme == "s3":
        yield from _in_s3(location, context, kept)
    elif scheme in {"", "file"}:
        yield _in_folder(server, location, kept)
    else:
        try:
            probe.try_files(server, location)
        except AdloomError as error:
            found = str(error).rpartition("; ")[0] or str(error)
            yield Kind.MLFLOW_FILES(found, "the server's log says why; it must reach its store and may write there")
        else:
            yield kept


def _in_s3(location: str, context: DoctorContext, kept: Finding) -> Iterator[Finding]:
    """Write to S3 as MLflow's client will, which has no wait of its own that ends in seconds."""
    settings = context.settings
    try:
        S3Probe(settings.mlflow_s3_endpoint or settings.s3_endpoint).check_writable(location)
    except AdloomError as error:
        yield Kind.MLFLOW_FILES.from_error(error, "or set MLFLOW_S3_ENDPOINT_URL where MLflow's files lie elsewhere")
    else:
        yield kept


def _in_folder(server: MlflowConnection, location: str, kept: Finding) -> Finding:
    place = Path(urlsplit(location).path)
    if server.database is None and not place.exists():
        advice = "start it with --artifacts-destination, so that files pass through it, or with a root in S3"
        return Kind.MLFLOW_FILES_ELSEWHERE(f"{server.name}: keeps files in {place} of its own machine", advice)
    if why := find_write_error(place):
        return Kind.MLFLOW_FILES(f"{server.name}: keeps files in {place}: {why}", "let this user write there")
    return kept
