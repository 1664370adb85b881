from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from adloom.library.database import MIGRATIONS, Database
from adloom.library.tables import HEAD, VERSION_TABLE, metadata


def test_the_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(MIGRATIONS).get_heads() == [HEAD]


def test_the_migrations_make_these_tables(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'library.db'}").read() as connection:
        migrated = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(migrated, metadata) == []
