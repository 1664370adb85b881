"""Older library files open in a newer version with all they hold, and an upgrade that fails changes nothing."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.creatives import open_folder

from adloom.errors import ArtifactError
from adloom.library import database
from adloom.library.database import Database
from adloom.library.tables import HEAD

LINE = "sha256:2c7e68d28e9a9e9f8e3f6a2f3cce2d0e4bb9b8f5fca0d0a0a7b8a1d4a4e4c9b1"
FIRST = f"""
CREATE TABLE library_creatives (sequence INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
    media_type TEXT NOT NULL,
    category TEXT, text TEXT, width INTEGER, height INTEGER, placement TEXT, model JSON, seed BIGINT, number INTEGER,
    features JSON NOT NULL, state TEXT NOT NULL, reviewed_by TEXT, reviewed_at DATETIME, reason TEXT,
    created_at DATETIME NOT NULL, PRIMARY KEY (sequence), UNIQUE (id));
CREATE TABLE library_parents (child TEXT NOT NULL, position INTEGER NOT NULL, parent TEXT NOT NULL,
    PRIMARY KEY (child, position), FOREIGN KEY(child) REFERENCES library_creatives (id));
CREATE TABLE library_reviews (sequence INTEGER NOT NULL, creative TEXT NOT NULL, "before" TEXT NOT NULL,
    state TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT, time DATETIME NOT NULL, PRIMARY KEY (sequence),
    FOREIGN KEY(creative) REFERENCES library_creatives (id));
CREATE TABLE library_version (version_num VARCHAR(32) NOT NULL,
    CONSTRAINT library_version_pkc PRIMARY KEY (version_num));
CREATE INDEX library_creatives_by_state ON library_creatives (state, kind, category);
CREATE INDEX ix_library_parents_parent ON library_parents (parent);
CREATE INDEX ix_library_reviews_creative ON library_reviews (creative);
INSERT INTO library_creatives VALUES (1, '{LINE}', 'line', 'text/plain', 'Bag', 'Carry on', NULL, NULL, NULL,
    '{{"name": "lstm", "version": 3, "digest": null}}', 7, 1, '{{"characters": 8, "words": 2}}', 'approved', 'kim',
    '2026-11-26 17:42:26.637322', 'good', '2026-11-26 17:42:26.611370');
INSERT INTO library_reviews VALUES (1, '{LINE}', 'draft', 'approved', 'kim', 'good', '2026-11-26 17:42:26.637322');
INSERT INTO library_version VALUES ('0001');
"""
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table("library_notes", sa.Column("text", sa.Text))
    op.add_column("library_creatives", sa.Column("note", sa.Text))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Provide a file that the first version wrote."""
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        connection.executescript(FIRST)
    return tmp_path / "library.db"


def add_revision(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make this the version that knows a further revision."""
    migrations = folder / "migrations"
    shutil.copytree(database.MIGRATIONS, migrations)
    (migrations / "versions/notes.py").write_text(text)
    monkeypatch.setattr(database, "MIGRATIONS", migrations)
    monkeypatch.setattr(database, "HEAD", "0002")


def read_notes(path: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select id, note from library_creatives").fetchall()


def test_a_file_of_the_first_version_keeps_what_it_holds(path: Path) -> None:
    with closing(open_folder(path.parent)) as library:
        creative = library.get(LINE)
        assert (creative.text, creative.state, creative.reviewed_by, creative.reason) == (
            *("Carry on", "approved", "kim", "good"),
        )
        assert (creative.model and creative.model.version, creative.seed, creative.features["words"]) == (3, 7, 2)
        assert creative.created_at.isoformat() == "2026-11-26T17:42:26.611370+00:00"
        assert [review.actor for review in library.list_reviews(LINE)] == ["kim"]
        assert library.database.read_version() == HEAD


def test_a_further_revision_upgrades_once_however_many_open_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_revision(path.parent, monkeypatch, NEXT)
    versions: list[str | None] = []

    def open_database() -> None:
        with closing(Database(f"sqlite:///{path}")) as opened:
            versions.append(opened.read_version())

    threads = [threading.Thread(target=open_database) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == ["0002"] * 3
    assert read_notes(path) == [(LINE, None)]


def test_an_upgrade_that_fails_half_way_leaves_the_older_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        add_revision(path.parent, newer, f"{NEXT}    op.execute('select * from no_such_table')\n")
        with pytest.raises(ArtifactError, match="no such table: no_such_table"):
            Database(f"sqlite:///{path}")
    with closing(open_folder(path.parent)) as library:
        assert library.get(LINE).text == "Carry on"
        with library.database.read() as connection:
            assert not connection.exec_driver_sql("select * from sqlite_master where name = 'library_notes'").all()
