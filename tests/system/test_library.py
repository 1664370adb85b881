"""The library on PostgreSQL and S3, and with several processes."""

import multiprocessing
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tests.support.creatives import make_creative
from tests.support.postgres import Postgres
from tests.support.seaweedfs import BUCKET, Server

from adloom.errors import ArtifactError, PermissionDeniedError, UnavailableError
from adloom.library.database import Database
from adloom.library.library import Library
from adloom.library.records import Creative, CreativeQuery, content_id
from adloom.library.tables import HEAD
from adloom.storage.router import open_object_store

WRITERS, EACH = 4, 25


@pytest.fixture
def postgres_url(database: Postgres) -> str:
    """Return the URL of a new, empty database."""
    name = f"library_{uuid4().hex}"
    server = database.uri(database.port)
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        f"sqlite:///{tmp_path / 'library.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )


def write(url: str, files: str, writer: int) -> None:
    """Add lines that every writer adds, then approve each."""
    with closing(Library(url, open_object_store(files, None))) as library:
        for i in range(EACH):
            content = f"line {i}".encode()
            creative = library.add(make_creative(content, text=f"line {i}", parents=(content_id(b"brief"),)), content)
            library.review(creative.id, "approved", f"writer {writer}")


@pytest.mark.slow
def test_several_processes_write_at_once(url: str, tmp_path: Path) -> None:
    files = str(tmp_path / "library")
    processes = [
        multiprocessing.get_context("spawn").Process(target=write, args=(url, files, writer))
        for writer in range(WRITERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WRITERS
    with closing(Library(url, open_object_store(files, None))) as library:
        found = library.find(CreativeQuery(state="approved", parent=content_id(b"brief")))
        assert sorted(str(creative.text) for creative in found) == sorted(f"line {i}" for i in range(EACH))
        assert {len(library.list_reviews(creative.id)) for creative in found} == {1}  # each was approved once


@pytest.mark.slow
def test_postgresql_holds_what_sqlite_holds(postgres_url: str, tmp_path: Path) -> None:
    one, other = (_fill(url, tmp_path) for url in (f"sqlite:///{tmp_path / 'library.db'}", postgres_url))
    assert one == other.model_copy(update={"reviewed_at": one.reviewed_at})
    assert (one.state, one.reason) == ("approved", "yes")


def _fill(url: str, folder: Path) -> Creative:
    full = make_creative(
        b"a",
        "ad",
        text="Über 'uns'",
        category="Bag",
        seed=2**63 - 1,
        features={"embedding": [0.1, -1e-9], "layout": {"logo": None}},
        parents=(content_id(b"c"), content_id(b"b")),
        created_at="2026-01-02T03:04:05.678901+00:00",
    )
    with closing(Library(url, open_object_store(str(folder / "library"), None))) as library:
        assert library.add(full, b"a") == library.get(full.id) == full
        library.review(full.id, "rejected", "kim", "no")
        library.review(full.id, "approved", "lou", "yes")
        assert library.resolve(full.id[:15]) == full.id
        assert library.database.read_version() == HEAD
        return library.find(CreativeQuery(kind="ad"))[0]


def test_a_server_that_is_away_is_one_line_without_the_password() -> None:
    with pytest.raises(UnavailableError, match=r"//kim:\*\*\*@127\.0\.0\.1:1/shop: connection failed") as raised:
        Database("postgresql://kim:secret@127.0.0.1:1/shop")
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_a_user_without_the_right_to_make_tables_is_told(postgres_url: str) -> None:
    role = f"reader_{uuid4().hex}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'x'")
    with pytest.raises(PermissionDeniedError, match="permission denied for schema public.*adloom library migrate"):
        Database(postgres_url.replace(postgres_url.split("//")[1].split("@", maxsplit=1)[0], f"{role}:x"))


@pytest.mark.slow
def test_contents_live_in_s3(environment: Server, tmp_path: Path) -> None:
    uri = f"s3://{BUCKET}/{uuid4().hex}"
    library = Library(f"sqlite:///{tmp_path / 'library.db'}", open_object_store(uri, environment.endpoint))
    library.add(make_creative(b"a"), b"a")
    assert library.read(content_id(b"a")) == b"a"
    library.files.remove(next(iter(library.files.list(""))))
    with pytest.raises(ArtifactError, match=f"{uri}/.*: no such file, the content of"):
        library.read(content_id(b"a"))
