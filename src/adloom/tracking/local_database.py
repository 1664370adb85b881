"""The SQLite database of a project without an MLflow server: created in one step, and moved with its folder."""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from adloom.errors import ArtifactError, ExternalServiceError
from adloom.retry import RetryPolicy
from adloom.storage.locks import exclusive_lock

LOCK_SECONDS = 5  # wait for another writer
CREATE_SECONDS = 120  # wait for another process that creates the tables
CREATE_PAUSES = (1, 2, 3, 4)  # seconds between attempts to open a database that another program creates
FILES_FOLDER = "mlartifacts"  # next to the database
STORED_PATHS = (  # columns with paths of files
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalDatabase:
    """A SQLite file."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether there is a database; an empty file is none."""
        return self.path.is_file() and self.path.stat().st_size > 0

    @property
    def files(self) -> Path:
        """The folder of the runs' files."""
        return (self.path.parent / FILES_FOLDER).resolve()

    def open(self, connect: Callable[[], T]) -> T:
        """Create the database if needed, and connect. Raises ArtifactError when its tables are incomplete."""
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        self._create()
        self._follow_folder()
        retry = RetryPolicy(CREATE_PAUSES, lambda error, _: isinstance(error, (CommandError, SQLAlchemyError)))
        try:
            return retry.call(connect)
        except (CommandError, SQLAlchemyError, MlflowException) as error:
            if self._is_unused():
                raise ArtifactError(
                    f"{self.path}: its tables are incomplete, because another program was interrupted while it created "
                    f"them; remove {self.path}, which holds no run and no model"
                ) from error
            raise

    def assert_unlocked(self) -> None:
        """Raise ExternalServiceError soon when another process holds the file."""
        if not self.exists:
            return
        try:
            with closing(sqlite3.connect(self.path, timeout=LOCK_SECONDS)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            locked = f" for {LOCK_SECONDS} s; wait for the process that uses it, or stop it"
            advice = locked if "locked" in str(error) else "; check the file, and the right to write it"
            raise ExternalServiceError(f"{self.path}: {error}{advice}") from None

    def find_old_locations(self) -> list[str]:
        """Return the URIs of the files' folder that were right before the database was moved or copied."""
        rows = self._query("SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'")
        return [uri for (uri,) in rows if uri.endswith(f"/{FILES_FOLDER}") and uri != self.files.as_uri()]

    def find_lost_folder(self) -> Path | None:
        """Return the folder that should hold the files of registered models and does not exist."""
        query = (
            "SELECT DISTINCT artifact_location FROM experiments JOIN runs USING (experiment_id) "
            "JOIN model_versions ON run_id = run_uuid WHERE artifact_location LIKE 'file:%'"
        )
        folders = (Path(unquote(urlsplit(uri).path)) for (uri,) in self._query(query))
        return next((folder for folder in folders if not folder.is_dir()), None)

    def _create(self) -> None:
        """Create the tables in another file, which gets the name when it is complete."""
        if self.exists:
            return
        busy = f"{self.path}: another process creates its tables for {CREATE_SECONDS} s; wait for it or stop it"
        with exclusive_lock(self.path.with_name(f"{self.path.name}.lock"), busy, CREATE_SECONDS):
            new = self.path.with_name(f"{self.path.name}.new").resolve()
            leftovers = [new, new.with_name(f"{new.name}-journal")]  # of a process that was killed
            for path in leftovers:
                path.unlink(missing_ok=True)
            try:
                if not self.exists:
                    self._create_tables(new)
                    new.replace(self.path)
            finally:
                for path in leftovers:
                    path.unlink(missing_ok=True)

    def _create_tables(self, new: Path) -> None:
        """Create the tables by MLflow's migrations, and sync the file once instead of after each."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
        from sqlalchemy import Engine, event

        logger.info("%s: creating the registry", self.path)
        event.listen(Engine, "connect", _skip_syncs)
        try:
            SqlAlchemyStore(f"sqlite:///{new}", self.files.as_uri()).engine.dispose()
        finally:
            event.remove(Engine, "connect", _skip_syncs)
        with new.open("rb") as stream:
            os.fsync(stream.fileno())

    def _follow_folder(self) -> None:
        """Correct the stored paths after the folder was moved or copied with its files."""
        if not self.files.is_dir():
            return
        for old in self.find_old_locations():
            with closing(sqlite3.connect(self.path, timeout=LOCK_SECONDS)) as connection, connection:
                for table, column in STORED_PATHS:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - constants
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (self.files.as_uri(), len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
            logger.warning("%s: was moved or copied from %s; its paths now name %s", self.path, old, self.files)

    def _is_unused(self) -> bool:
        """Return whether the database holds nothing; a complete one has an experiment."""
        tables = ("experiments", "runs", "registered_models")
        return not any(self._query(f"SELECT 1 FROM {table} LIMIT 1") for table in tables)  # noqa: S608 - constants

    def _query(self, query: str) -> list[Any]:
        """Return the rows of a query; none if a table or the file is missing."""
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                return connection.execute(query).fetchall()
        except sqlite3.Error:
            return []


def _skip_syncs(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
