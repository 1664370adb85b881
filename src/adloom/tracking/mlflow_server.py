"""The connection to MLflow. It opens on first use, because MLflow takes seconds to import."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from adloom.connection_errors import describe_error
from adloom.deadline import call_within
from adloom.errors import AdloomError, ExternalServiceError
from adloom.retry import RetryPolicy
from adloom.storage.locks import exclusive_lock

LOCK_SECONDS = 5  # wait for another writer of a SQLite file
CALL_SECONDS = 60.0  # for one call, however many requests it makes
CREATE_SECONDS = 120  # wait for another process that creates the tables of a SQLite file
CREATE_PAUSES = (1, 2, 3, 4)  # seconds between attempts to create the tables
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

Provenance = Callable[[], Mapping[str, str]]  # returns git_commit and image_digest where they are known
T = TypeVar("T")


def prepare_environment() -> None:
    """Set the variables of MLflow's client in this process and its children."""
    for name, value in CLIENT_VARIABLES.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each attempt


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

        if self.database is None:
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        with self._creation_lock(self.database):
            return create_tables(lambda: MlflowClient(tracking_uri=self.uri, registry_uri=self.uri))

    @property
    def name(self) -> str:
        """The URI without user and password, for messages."""
        parts = urlsplit(self.uri)
        return self.uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else self.uri

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for any other URI."""
        return Path(self.uri.removeprefix("sqlite:///")) if self.uri.startswith("sqlite:///") else None

    def experiment_id(self) -> str:
        """Return the id of the project's experiment; create it if needed."""
        experiment = self.client.get_experiment_by_name(self.project)
        if experiment is None:
            location = (self.database.parent / "mlartifacts").resolve().as_uri() if self.database else None
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
        """Raise ExternalServiceError for any error of MLflow."""
        try:
            self.assert_unlocked()
            yield
        except AdloomError:
            raise
        except Exception as error:  # MLflow passes on errors of drivers, HTTP and the file system
            raise ExternalServiceError(
                f"MLflow at {self.name}: cannot {action}: {describe_error(error)}; are it, its database and its S3 up, "
                "and is MLFLOW_TRACKING_URI right?"
            ) from error

    def assert_unlocked(self) -> None:
        """Raise ExternalServiceError soon when another process holds the SQLite file."""
        if self.database is None or not self.database.is_file():
            return
        try:
            with (
                self._creation_lock(self.database),
                closing(sqlite3.connect(self.database, timeout=LOCK_SECONDS)) as connection,
            ):
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise ExternalServiceError(
                f"MLflow at {self.name}: {error} for {LOCK_SECONDS} s; wait for the process that uses it, or stop it"
            ) from None

    def _creation_lock(self, database: Path) -> AbstractContextManager[None]:
        """Return the lock for creating the tables; MLflow has none. No lock for a database of another program."""
        lock = database.with_name(f"{database.name}.lock")
        if not lock.exists() and _has_tables(database):
            return nullcontext()
        busy = (
            f"MLflow at {self.name}: another process creates its tables for {CREATE_SECONDS} s; wait for it or stop it"
        )
        return exclusive_lock(lock, busy, CREATE_SECONDS)


def _has_tables(database: Path) -> bool:
    """Return whether MLflow has begun to create its tables, or the file is unreadable."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchone() is not None
    except sqlite3.Error:
        return database.is_file()


def create_tables(connect: Callable[[], Any]) -> Any:
    """Return a client, which creates missing tables; retry while another program creates them."""
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    def is_transient(error: Exception, _: float) -> bool:
        return isinstance(error, (CommandError, SQLAlchemyError))

    return RetryPolicy(CREATE_PAUSES, is_transient).call(connect)


@contextmanager
def ignore_existing() -> Iterator[None]:
    """Ignore that another process created the resource at the same time."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", "") != EXISTS_CODE:
            raise
