"""The connection to MLflow. It opens on first use, because MLflow takes seconds to import."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from adloom.connection_errors import describe_error
from adloom.deadline import call_within
from adloom.errors import AdloomError, AuthenticationError, ExternalServiceError
from adloom.tracking.local_database import LocalDatabase

CALL_SECONDS = 60.0  # for one call, however many requests it makes
CONNECT_SECONDS = 5  # to wait for a database server
CLIENT_VARIABLES = {  # read by MLflow's client when it is imported or used; variables of the user win
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",  # files go through the server, which alone may reach S3
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
EXISTS_CODE = "RESOURCE_ALREADY_EXISTS"
REFUSAL_CODES = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"}  # MLflow's words for 401 and 403
REFUSAL_STATUSES = {401, 403}
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to one that may"
ADDRESS = "is MLFLOW_TRACKING_URI right?"

SERVERS = {"http", "https"}

Provenance = Callable[[], Mapping[str, str]]  # returns git_commit and image_digest where they are known
T = TypeVar("T")


def prepare_environment() -> None:
    """Set the variables of MLflow's client in this process and its children."""
    for name, value in CLIENT_VARIABLES.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each attempt


class DatabaseError(ExternalServiceError):
    """The database cannot be opened."""


@dataclass
class MlflowConnection:
    """An MLflow server or database."""

    uri: str
    project: str

    @cached_property
    def client(self) -> Any:
        """The MlflowClient."""
        prepare_environment()
        from mlflow.tracking import MlflowClient

        def connect() -> Any:
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

        if self.database:
            return self.database.open(connect)
        if urlsplit(self.uri).scheme not in SERVERS:
            self.list_tables()
        return connect()

    @property
    def name(self) -> str:
        """The URI without user and password, for messages."""
        parts = urlsplit(self.uri)
        return self.uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else self.uri

    @property
    def database(self) -> LocalDatabase | None:
        """The SQLite file; None for any other URI."""
        path = self.uri.removeprefix("sqlite:///").partition("?")[0]
        return LocalDatabase(Path(path)) if self.uri.startswith("sqlite:///") else None

    def list_tables(self) -> list[str]:
        """Return a database's tables. Raises DatabaseError or AuthenticationError in seconds; MLflow retries long."""
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        options = {"connect_timeout": CONNECT_SECONDS} if self.uri.startswith(("postgresql", "mysql")) else {}
        try:
            engine = sqlalchemy.create_engine(self.uri, poolclass=NullPool, connect_args=options)
            with engine.connect() as connection:
                return list(sqlalchemy.inspect(connection).get_table_names())
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            problem = f"MLflow at {self.name}: cannot be opened: {describe_error(error)}"
            if re.search("password|authentication|access denied", problem, re.IGNORECASE):
                raise AuthenticationError(f"{problem}; correct user and password in MLFLOW_TRACKING_URI") from None
            raise DatabaseError(f"{problem}; {ADDRESS}") from None

    def experiment_id(self) -> str:
        """Return the id of the project's experiment; create it if needed."""
        experiment = self.client.get_experiment_by_name(self.project)
        if experiment is None:
            location = self.database.files.as_uri() if self.database else None
            with ignore_existing():
                self.client.create_experiment(self.project, artifact_location=location)
            experiment = self.client.get_experiment_by_name(self.project)
        return str(experiment.experiment_id)

    def call(self, action: str, function: Callable[[], T]) -> T:
        """Return the result within CALL_SECONDS; MLflow's own timeout restarts with each byte."""
        with self.translate_errors(action):
            return call_within(CALL_SECONDS, f"MLflow at {self.name}: {action}", function)

    @contextmanager
    def translate_errors(self, action: str) -> Iterator[None]:
        """Raise AuthenticationError or ExternalServiceError for any error of MLflow."""
        try:
            self.assert_unlocked()
            yield
        except AdloomError:
            raise
        except Exception as error:  # MLflow passes on errors of drivers, HTTP and the file system
            problem = f"MLflow at {self.name}: cannot {action}: {self.describe_error(error)}"
            if is_refusal(error):
                raise AuthenticationError(problem) from error
            if self.database:
                advice = f"is there room, and the right to write, in {self.database.path.parent.absolute()}?"
                raise ExternalServiceError(f"{problem}; {advice}") from error
            raise ExternalServiceError(f"{problem}; are it, its database and its S3 up, and {ADDRESS}") from error

    def describe_error(self, error: Exception) -> str:
        """Return why a request failed, with the next step when the credentials are refused."""
        reason = describe_error(error, self.uri)
        return f"{reason}; {CREDENTIALS}" if is_refusal(error) else reason

    def assert_unlocked(self) -> None:
        """Raise ExternalServiceError soon when another process holds the SQLite file."""
        if self.database:
            self.database.assert_unlocked()


def describe_place(uri: str) -> str:
    """Return where a registry is, without user and password."""
    server = MlflowConnection(uri, "")
    return f"MLflow at {server.name} in {Path.cwd()}" if server.database else f"MLflow at {server.name}"


def is_refusal(error: Exception) -> bool:
    """Return whether a server refused user, password or token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return getattr(error, "error_code", "") in REFUSAL_CODES or status in REFUSAL_STATUSES


@contextmanager
def ignore_existing() -> Iterator[None]:
    """Ignore that another process created the resource at the same time."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", "") != EXISTS_CODE:
            raise
