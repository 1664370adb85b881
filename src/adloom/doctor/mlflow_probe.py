"""Requests that check an MLflow server or database and its files."""

import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

from adloom.connection_errors import describe_error
from adloom.errors import AdloomError, AuthenticationError, ConfigError, ExternalServiceError, UnavailableError
from adloom.tracking.mlflow_server import ADDRESS, CREDENTIALS, MlflowConnection, is_refusal, prepare_environment

SECONDS = 5  # to wait for a server or database


class ApiError(ConfigError):
    """The server is not MLflow."""


class HostError(ConfigError):
    """The server refuses this host name."""


class SchemaError(ConfigError):
    """The database belongs to another version of MLflow."""


def fetch_version(server: MlflowConnection) -> str:
    """Return a server's version. Raises UnavailableError, AuthenticationError or ApiError."""
    _prepare(server)
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    credentials = get_default_host_creds(server.uri)
    try:
        response = http_request(credentials, "/version", "GET", max_retries=0, timeout=SECONDS, raise_on_status=False)
    except Exception as error:  # MLflow lets errors of HTTP through
        raise UnavailableError(
            f"MLflow at {server.name}: no answer: {describe_error(error, server.uri)}; is it up, and {ADDRESS}"
        ) from error
    if response.status_code in {401, 403}:
        raise AuthenticationError(
            f"MLflow at {server.name}: refuses the credentials ({response.status_code}); {CREDENTIALS}"
        )
    if response.status_code != 200 or not re.fullmatch(r"\d+\.\d+\.\w+", response.text.strip()):
        raise ApiError(f"MLflow at {server.name}: the server is not MLflow ({response.status_code}); {ADDRESS}")
    return str(response.text.strip())


def client_version() -> str:
    """Return the client's version."""
    prepare_environment()
    import mlflow

    return str(mlflow.__version__)


def find_artifact_location(server: MlflowConnection) -> str | None:
    """
    Read experiments and models; return the artifact location of the project's experiment, or of any other.

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
    """Write, read and delete a small file at an artifact location. Raises ExternalServiceError."""
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
                f"MLflow at {server.name}: a file at {location} was read back with other content"
            )


def _prepare(server: MlflowConnection) -> Any:
    """Return the client; its creation sets variables that MLflow reads at import."""
    try:
        return server.client
    except AdloomError:
        raise
    except Exception as error:  # opening a database may raise whatever its driver does
        raise _refusal(server, error) from error


def _refusal(server: MlflowConnection, error: Exception) -> Exception:
    message = str(error)
    if "Invalid Host header" in message:
        advice = "name it in MLFLOW_SERVER_ALLOWED_HOSTS of the server"
        return HostError(f"MLflow at {server.name}: refuses this host name; {advice}")
    if "out-of-date database schema" in message:
        advice = "`mlflow db upgrade` with its address, after a backup, or another version of the client"
        return SchemaError(f"MLflow at {server.name}: its tables belong to another version of MLflow; {advice}")
    if is_refusal(error):
        return AuthenticationError(f"MLflow at {server.name}: refuses to be read: {server.describe_error(error)}")
    return ExternalServiceError(
        f"MLflow at {server.name}: cannot be read: {server.describe_error(error)}; see the server's log"
    )
