"""The library's database: SQLite or PostgreSQL, migrated to the schema of this version when it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from adloom.errors import ArtifactError, ConfigError, ExternalServiceError, PermissionDeniedError, UnavailableError
from adloom.library.tables import HEAD, VERSION_TABLE

EXPECTED = "expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_SECONDS = 30  # wait for another writer
CONNECT_SECONDS = 5  # wait for a server
MIGRATION_LOCK = 0x61646C6F6F6D  # key of PostgreSQL's advisory lock
PRAGMAS = ("journal_mode = wal", "synchronous = normal", "foreign_keys = on")


class Database:
    """A database with the tables of this version."""

    def __init__(self, url: str) -> None:
        """Open and migrate it. Raises ConfigError, ArtifactError for an unusable database, ExternalServiceError."""
        self._url = _parse_url(url)
        self.name = self._url.render_as_string(hide_password=True)
        self._engine = _create_engine(self._url)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Provide a connection for queries."""
        with self.translate_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Provide a connection in a transaction; one writer at a time on SQLite."""
        with self.translate_errors(), self._engine.execution_options(begin_immediate=True).begin() as connection:
            yield connection

    def read_version(self) -> str | None:
        """Return the revision of the schema; None without tables."""
        with self.read() as connection:
            return _read_version(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise errors of the database as one line."""
        try:
            yield
        except SQLAlchemyError as error:
            raise self._describe(error) from error

    def _describe(self, error: SQLAlchemyError) -> Exception:
        origin = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(origin).split())
        if self._url.get_backend_name() == "sqlite":
            if "locked" in reason:
                return UnavailableError(f"{self.name}: {reason} for {BUSY_SECONDS} s by another process; try again")
            return ArtifactError(f"{self.name}: {reason}; check the file and the right to write it and its folder")
        if isinstance(error, DBAPIError) and (error.connection_invalidated or "connection" in reason):
            return UnavailableError(f"{self.name}: {reason}; check ADLOOM_LIBRARY_URL and the server")
        if "permission denied" in reason:
            advice = "a user that may create tables runs `adloom library migrate`, then grants this one its tables"
            return PermissionDeniedError(f"{self.name}: {reason}; {advice}")
        return ExternalServiceError(f"{self.name}: {reason}")

    def _migrate(self) -> None:
        """Bring the tables to HEAD; one process at a time."""
        if self.read_version() == HEAD:
            return
        with self.write() as connection:
            if self._url.get_backend_name() == "postgresql":
                connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            version = _read_version(connection)
            if version is not None and version > HEAD:
                raise ArtifactError(
                    f"{self.name}: its schema has revision {version}, and this adloom knows {HEAD} at most; "
                    "upgrade adloom"
                )
            upgrade(connection, HEAD)


def upgrade(connection: Connection, revision: str) -> None:
    """Run the migrations up to a revision."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


def _parse_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(f"ADLOOM_LIBRARY_URL: not a URL; {EXPECTED}") from None  # it may hold a password
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    raise ConfigError(f"ADLOOM_LIBRARY_URL={url.render_as_string(hide_password=True)}: {EXPECTED}")


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"{folder}: {error.strerror}; set ADLOOM_LIBRARY_URL to a place that you may write"
        ) from None
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first, so that two writers never both read before they write."""
    writes = connection.get_execution_options().get("begin_immediate")
    connection.exec_driver_sql("begin immediate" if writes else "begin")


def _read_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
