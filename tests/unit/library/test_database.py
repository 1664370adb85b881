import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adloom.errors import ArtifactError, ConfigError, UnavailableError
from adloom.library import database
from adloom.library.database import Database
from adloom.library.tables import HEAD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


def test_a_new_database_has_the_newest_schema(path: Path) -> None:
    assert Database(f"sqlite:///{path}").read_version() == HEAD


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    Database(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update library_version set version_num = '0999'")
    with pytest.raises(ArtifactError, match=f"revision 0999, and this adloom knows {HEAD} at most; upgrade adloom"):
        Database(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("library.db", "not a URL"),
        ("sqlite://", "expected sqlite:///FILE"),
        ("sqlite:///:memory:", "expected sqlite:///FILE"),
        ("mysql://kim:secret@host/shop", "expected sqlite:///FILE"),
        ("postgresql://kim:secret@host:port/shop", "not a URL"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        Database(url)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_one_line(path: Path) -> None:
    path.write_bytes(b"a text\n" * 1000)
    with pytest.raises(ArtifactError, match="file is not a database; check the file"):
        Database(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_one_line(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(ArtifactError, match="set ADLOOM_LIBRARY_URL to a place that you may write"):
        Database(f"sqlite:///{path}/folder/library.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(path: Path) -> None:
    path.parent.chmod(0o500)
    with pytest.raises(ArtifactError, match="unable to open database file; check the file and the right to write it"):
        Database(f"sqlite:///{path}")


def test_a_lock_of_another_program_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    opened = Database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("begin immediate")
        with (
            pytest.raises(UnavailableError, match=r"database is locked for 0\.01 s by another process"),
            opened.write(),
        ):
            pass


def test_a_failed_write_leaves_nothing(path: Path) -> None:
    opened = Database(f"sqlite:///{path}")
    with pytest.raises(KeyError), opened.write() as connection:
        connection.exec_driver_sql("create table half (a)")
        raise KeyError
    with opened.read() as connection:
        assert connection.exec_driver_sql("select * from sqlite_master where name = 'half'").all() == []
