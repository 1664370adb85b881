"""MLflow: whether the server or database answers, and its files are writable and readable."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from adloom.doctor import mlflow_probe as probe
from adloom.doctor.checks.machine import find_write_error
from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind, StopCheck
from adloom.doctor.s3_probe import S3Probe
from adloom.errors import AdloomError, ArtifactError, AuthenticationError, UnavailableError
from adloom.tracking.local_database import FILES_FOLDER, LocalDatabase
from adloom.tracking.mlflow_server import SERVERS, DatabaseError, MlflowConnection

FAULTS: dict[type[AdloomError], Kind] = {
    UnavailableError: Kind.MLFLOW_NO_ANSWER,
    AuthenticationError: Kind.MLFLOW_REFUSED,
    probe.ApiError: Kind.MLFLOW_NO_API,
    probe.HostError: Kind.MLFLOW_HOST,
    DatabaseError: Kind.MLFLOW_DATABASE,
    ArtifactError: Kind.MLFLOW_DATABASE,
    probe.SchemaError: Kind.MLFLOW_SCHEMA,
}


def check(context: DoctorContext) -> Iterator[Finding]:
    """Check MLFLOW_TRACKING_URI without creating a database or leaving files."""
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
            yield from _check_database(server)
        yield from _check_files(server, probe.find_artifact_location(server), context)
    except StopCheck as error:
        yield error.finding
    except AdloomError as error:
        yield next((kind for type_, kind in FAULTS.items() if isinstance(error, type_)), Kind.MLFLOW_FAILED).from_error(
            error
        )


def compare_versions(server: MlflowConnection, theirs: str, ours: str) -> Finding:
    """Compare the first two numbers of the server's and the client's version."""
    line = f"MLflow at {server.name}: version {theirs}"
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Kind.MLFLOW_OK(line)
    return Kind.MLFLOW_VERSION(
        f"{line}, the client here is {ours}", f"install {max(theirs, ours, key=_major_minor)} on both sides"
    )


def _major_minor(version: str) -> list[int]:
    return [int(number) for number in version.split(".")[:2]]


def _check_database(server: MlflowConnection) -> Iterator[Finding]:
    """Check a database. Raises StopCheck if it is new or unusable."""
    if not is_installed("sqlalchemy"):
        raise StopCheck(
            Kind.MLFLOW_NOT_ASKED(f"{server.name}: only servers are supported here; set MLFLOW_TRACKING_URI to one")
        )
    if server.database:
        _check_file(server, server.database)
    if not server.list_tables():
        raise StopCheck(Kind.MLFLOW_NEW(f"{server.name}: has no tables yet; the first run creates them"))
    yield Kind.MLFLOW_OK(f"{server.name}: opened, client {probe.client_version()}")


def _check_file(server: MlflowConnection, database: LocalDatabase) -> None:
    """Raise StopCheck if a SQLite file is new, unusable, or in another folder than its paths name."""
    if why := find_write_error(database.path.parent):
        raise StopCheck(
            Kind.MLFLOW_UNWRITABLE(f"{server.name}: {why}", "set MLFLOW_TRACKING_URI to a writable database")
        )
    if not database.exists:
        raise StopCheck(Kind.MLFLOW_NEW(f"{server.name}: does not exist yet; the first run creates it"))
    _wait_for_lock(server)
    if database.files.is_dir() and (old := database.find_old_locations()):
        advice = "the next command that opens it, such as `adloom models`, corrects its paths"
        raise StopCheck(Kind.MLFLOW_MOVED(f"{server.name}: was moved or copied from {old[0]}", advice))
    if lost := database.find_lost_folder():
        advice = f"move {FILES_FOLDER} to {database.files}, or register the models again"
        raise StopCheck(Kind.MLFLOW_FILES(f"{server.name}: stores models in {lost}, which does not exist", advice))


def _wait_for_lock(server: MlflowConnection) -> None:
    try:
        server.assert_unlocked()
    except AdloomError as error:
        locked = "locked" in str(error)
        raise StopCheck((Kind.MLFLOW_LOCKED if locked else Kind.MLFLOW_DATABASE).from_error(error)) from None


def _check_files(server: MlflowConnection, location: str | None, context: DoctorContext) -> Iterator[Finding]:
    """Write a file to the runs' artifact location, and read it back."""
    if location is None:
        yield Kind.MLFLOW_OK(f"{server.name}: read, no experiment there yet")
        return
    scheme = urlsplit(location).scheme
    stored = Kind.MLFLOW_OK(f"{server.name}: read; a file at {location} was written, read and deleted")
    if scheme == "s3":
        yield from _in_s3(location, context, stored)
    elif scheme in {"", "file"}:
        yield _in_folder(server, location, stored)
    else:
        try:
            probe.try_files(server, location)
        except AdloomError as error:
            problem = str(error).rpartition("; ")[0] or str(error)
            yield Kind.MLFLOW_FILES(problem, "see the server's log; it must be able to write to its store")
        else:
            yield stored


def _in_s3(location: str, context: DoctorContext, stored: Finding) -> Iterator[Finding]:
    """Write to S3 ourselves, because MLflow's client waits too long for a dead server."""
    settings = context.settings
    try:
        S3Probe(settings.mlflow_s3_endpoint or settings.s3_endpoint).check_writable(location)
    except AdloomError as error:
        yield Kind.MLFLOW_FILES.from_error(error, "or set MLFLOW_S3_ENDPOINT_URL if MLflow has another S3 server")
    else:
        yield stored


def _in_folder(server: MlflowConnection, location: str, stored: Finding) -> Finding:
    folder = Path(urlsplit(location).path)
    if server.database is None and not folder.exists():
        advice = "start it with --artifacts-destination, so that files pass through it, or with a root in S3"
        return Kind.MLFLOW_FILES_ELSEWHERE(f"{server.name}: stores files in {folder} of its own machine", advice)
    if why := find_write_error(folder):
        return Kind.MLFLOW_FILES(f"{server.name}: stores files in {folder}: {why}", "make it writable for this user")
    return stored
