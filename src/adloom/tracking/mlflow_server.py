"""The MLflow server or database, opened when it is first used: MLflow takes seconds to import."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adloom.connection_errors import describe_error
from adloom.errors import AdloomError, ExternalServiceError
from adloom.storage.locks import exclusive_lock

LOCK_SECONDS = 5  # how long another writer of the SQLite file is waited for
CREATE_SECONDS = 120  # how long another process may take to create the tables of a SQLite file
CREATE_ATTEMPTS = 5
CLIENT_VARIABLES = {  # MLflow reads these when it is imported or used; whatever is set already wins
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",  # else files bypass the server, by addresses in S3
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

EXISTS = "RESOURCE_ALREADY_EXISTS"  # MLflow's word when another made it at the same moment

Provenance = Callable[[], Mapping[str, str]]  # git_commit, image_digest, where they are known


def prepare_environment() -> None:
    """Set what MLflow's client reads from the environment, in this process and its children; call it before a use."""
    for name, value in CLIENT_VARIABLES.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else it warns of each try


@dataclass
class MlflowConnection:
    """An MLflow server or database, opened when it is first used."""

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
        """The address without user and password, for messages."""
        parts = urlsplit(self.uri)
        return self.uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else self.uri

    @property
    def database(self) -> Path | None:
        """The SQLite file, None when MLflow is elsewhere."""
        return Path(self.uri.removeprefix("sqlite:///")) if self.uri.startswith("sqlite:///") else None

    def experiment_id(self) -> str:
        """Return the id of the project's experiment, making it; a database's files go beside it, into mlartifacts."""
        found = self.client.get_experiment_by_name(self.project)
        if found is None:
            place = (self.database.parent / "mlartifacts").resolve().as_uri() if self.database else None
            with ignore_existing():
                self.client.create_experiment(self.project, artifact_location=place)
            found = self.client.get_experiment_by_name(self.project)
        return str(found.experiment_id)

    @contextmanager
    def translate_errors(self, what: str) -> Iterator[None]:
        """Turn whatever MLflow raises into one line."""
        try:
            self.assert_unlocked()
            yield
        except AdloomError:
            raise
        except Exception as error:  # MLflow lets errors of its drivers, of HTTP and of the file system through
            raise ExternalServiceError(
                f"MLflow at {self.name}: cannot {what}: {describe_error(error)}; are it, its database and its S3 up, "
                "and is MLFLOW_TRACKING_URI right?"
            ) from error

    def assert_unlocked(self) -> None:
        """Raise ExternalServiceError when another process holds the SQLite file; MLflow would wait much longer."""
        if self.database is None or not self.database.is_file():
            return
        try:
            with self._creation_lock(self.database), closing(_connect(self.database)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise ExternalServiceError(
                f"MLflow at {self.name}: {error} for {LOCK_SECONDS} s; wait for whatever uses it, or stop that"
            ) from None

    def _creation_lock(self, database: Path) -> AbstractContextManager[None]:
        """
        Return the lock that guards the creation of the tables, which MLflow leaves unguarded between processes.

        A database that has tables and no lock file was made by another program; nothing is left beside it.
        """
        lock = database.with_name(f"{database.name}.lock")
        if not lock.exists() and _has_tables(database):
            return nullcontext()
        busy = (
            f"MLflow at {self.name}: another process creates its tables for {CREATE_SECONDS} s; wait for it or stop it"
        )
        return exclusive_lock(lock, busy, CREATE_SECONDS)


FindParent = Callable[[MlflowConnection], str | None]  # the id of the run that runs lie below, if there is one


def no_parent(server: MlflowConnection) -> None:
    """Return that runs stand alone."""


def _connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=LOCK_SECONDS)


def _has_tables(database: Path) -> bool:
    """Return whether MLflow has made its tables, or begun to; also True for what cannot be read."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return (
                connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is not None
            )
    except sqlite3.Error:
        return database.is_file()


def create_tables(connect: Callable[[], Any]) -> Any:
    """Return a client, which creates absent tables; try again where a program without our lock creates them as well."""
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    for seconds in range(1, CREATE_ATTEMPTS):
        try:
            return connect()
        except (CommandError, SQLAlchemyError):
            time.sleep(seconds)
    return connect()


@contextmanager
def ignore_existing() -> Iterator[None]:
    """Let it pass that another made the same at the same moment."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", "") != EXISTS:
            raise
