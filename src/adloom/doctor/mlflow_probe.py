"""MLflow tried out: what answers at an address, what may be read there, and whether its files can be had from here."""

import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

from adloom.connection_errors import describe_error
from adloom.errors import AuthenticationError, ConfigError, ExternalServiceError, UnavailableError
from adloom.tracking.mlflow_server import MlflowConnection, prepare_environment

SECONDS = 5  # that a server or database is waited for
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"}  # MLflow's words for 401 and 403
ADDRESS = "is MLFLOW_TRACKING_URI right?"
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to one that may"


class ApiError(ConfigError):
    """What answers is not MLflow."""


class HostError(ConfigError):
    """The server does not want to be called by this name."""


class DatabaseError(ConfigError):
    """The database cannot be opened."""


class SchemaError(ConfigError):
    """The database was made by another version of MLflow."""


def fetch_version(server: MlflowConnection) -> str:
    """Return the version that a server says it is of. Raises UnavailableError, AuthenticationError or ApiError."""
    _prepare(server)
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    whom = get_default_host_creds(server.uri)
    try:
        said = http_request(whom, "/version", "GET", max_retries=0, timeout=SECONDS, raise_on_status=False)
    except Exception as error:  # MLflow lets errors of HTTP through
        raise UnavailableError(
            f"MLflow at {server.name}: no answer: {describe_error(error)}; is it up, and {ADDRESS}"
        ) from error
    if said.status_code in {401, 403}:
        raise AuthenticationError(f"MLflow at {server.name}: does not let us in ({said.status_code}); {CREDENTIALS}")
    if said.status_code != 200 or not re.fullmatch(r"\d+\.\d+\.\w+", said.text.strip()):
        raise ApiError(f"MLflow at {server.name}: what answers is not MLflow ({said.status_code}); {ADDRESS}")
    return str(said.text.strip())


def client_version() -> str:
    """Return the version of the client."""
    prepare_environment()
    import mlflow

    return str(mlflow.__version__)


def is_new(server: MlflowConnection) -> bool:
    """Return whether a database is empty still; MLflow's client would make its tables. Raises DatabaseError."""
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    waits = {"connect_timeout": SECONDS} if server.uri.startswith(("postgresql", "mysql")) else {}
    try:
        engine = sqlalchemy.create_engine(server.uri, poolclass=NullPool, connect_args=waits)
        with engine.connect() as connection:
            return not sqlalchemy.inspect(connection).get_table_names()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise DatabaseError(f"MLflow at {server.name}: cannot be opened: {describe_error(error)}; {ADDRESS}") from None


def find_artifact_location(server: MlflowConnection) -> str | None:
    """
    Look for experiments and registered models, and return where files of the project's experiment, or any, go.

    Raises AuthenticationError, HostError, SchemaError or ExternalServiceError.
    """
    client = _prepare(server)
    try:
        own = client.get_experiment_by_name(server.project) if server.project else None
        known = own or next(iter(client.search_experiments(max_results=1)), None)
        client.search_registered_models(max_results=1)
    except Exception as error:  # MLflow lets errors of its drivers and of HTTP through
        raise _refusal(server, error) from error
    return str(known.artifact_location) if known else None


def try_files(server: MlflowConnection, location: str) -> None:
    """Write, read and delete a small file at an artifact location. Raises ExternalServiceError when that fails."""
    _prepare(server)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    content = secrets.token_bytes(16)
    below = f".adloom-doctor-{content.hex()}"
    with (
        server.translate_errors(f"keep a file at {location} and read it"),
        tempfile.TemporaryDirectory(prefix="adloom-") as place,
    ):
        written = Path(place) / "written"
        written.write_bytes(content)
        files = get_artifact_repository(location, tracking_uri=server.uri)
        files.log_artifact(str(written), below)
        try:
            read = Path(files.download_artifacts(f"{below}/written", str(Path(place)))).read_bytes()
        finally:
            files.delete_artifacts(below)
        if read != content:
            raise ExternalServiceError(
                f"MLflow at {server.name}: a file was read back as another than was kept at {location}"
            )


def _prepare(server: MlflowConnection) -> Any:
    """Return the client, whose making sets what MLflow reads when it is imported."""
    try:
        return server.client
    except Exception as error:  # opening a database may raise whatever its driver does
        raise _refusal(server, error) from error


def _refusal(server: MlflowConnection, error: Exception) -> Exception:
    said = str(error)
    if "Invalid Host header" in said:
        advice = "name it in MLFLOW_SERVER_ALLOWED_HOSTS of the server"
        return HostError(f"MLflow at {server.name}: does not want to be called by this name; {advice}")
    if "out-of-date database schema" in said:
        advice = "`mlflow db upgrade` with its address, after a backup, or another version of the client"
        return SchemaError(f"MLflow at {server.name}: its tables are of another version of MLflow; {advice}")
    if getattr(error, "error_code", "") in REFUSED:
        return AuthenticationError(
            f"MLflow at {server.name}: does not let us read ({describe_error(error)}); {CREDENTIALS}"
        )
    return ExternalServiceError(
        f"MLflow at {server.name}: cannot be read: {describe_error(error)}; its own log says why"
    )
