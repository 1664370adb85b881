"""`adloom doctor` against real MLflow servers and databases: each fault has its name and next step, nothing is left."""

import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support import local_http, mlflow_server, postgres, seaweedfs, shop, tiny_models
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import PASSWORD, Postgres
from tests.support.relay import Relay
from tests.support.seaweedfs import BUCKET, Server

from adloom.doctor import mlflow_probe
from adloom.doctor.checks import mlflow
from adloom.doctor.context import read_context
from adloom.doctor.finding import Finding
from adloom.registry.mlflow import MlflowRegistry

SENTINEL = "sentinel-of-a-password"
Check = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def served(server: Server, relay_of_all: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that is called by its number alone, with files in S3 behind a relay, which pass through it or not."""
    folder = tmp_path_factory.mktemp("mlflow")
    s3 = server.environment() | {"AWS_ENDPOINT_URL_S3": relay_of_all.endpoint}
    named = {"MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*"}
    with mlflow_server.running(folder, f"sqlite:///{folder}/server.db", f"s3://{BUCKET}/mlflow", s3 | named) as served:
        yield served


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that MLflow has made."""
    path = tmp_path_factory.mktemp("sqlite") / "mlflow.db"
    from mlflow.tracking import MlflowClient

    MlflowClient(f"sqlite:///{path}").create_experiment("shop", artifact_location=(path.parent / "files").as_uri())
    return path


@pytest.fixture
def check(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks the MLflow of an address for a project, with these variables."""
    seaweedfs.visit(server, monkeypatch)
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def check(uri: str, project: str = "shop", **variables: str) -> list[Finding]:
        for name, value in {"MLFLOW_TRACKING_URI": uri, **variables}.items():
            monkeypatch.setenv(name, value)
        return list(mlflow.check(read_context(shop.write_params(tmp_path, shop.params() | {"project": project}))))

    return check


def names(found: list[Finding]) -> list[str]:
    return [one.name for one in found]


def made(served: MlflowServer) -> tuple[int, int]:
    """Return how many experiments and runs there are, deleted ones too."""
    with closing(sqlite3.connect(served.folder / "server.db")) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("experiments", "runs")]
    return counts[0], counts[1]


@contextmanager
def answering(version: tuple[int, str], api: tuple[int, str]) -> Iterator[str]:
    """Yield the address of a stand-in that has one answer to a question for its version, and one to any other."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, text = version if self.path == "/version" else api
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with local_http.serve(Handler) as url:
        yield url


def test_files_that_pass_through_the_server_are_tried_and_nothing_is_left(
    served: MlflowServer, server: Server, check: Check
) -> None:
    before, keys = made(served), server.keys(BUCKET, "")
    one, two = check(served.uri)
    assert (one.name, two.name) == ("mlflow-ok", "mlflow-ok")
    assert one.found == f"MLflow at {served.uri}: version {mlflow_probe.client_version()}"
    assert two.found == f"{served.uri}: read; a file at mlflow-artifacts:/0 was written, read and deleted"
    assert (made(served), server.keys(BUCKET, "")) == (before, keys)


def test_a_server_that_loses_its_files_is_told(served: MlflowServer, relay: Relay, check: Check) -> None:
    relay.refuse()
    one, two = check(served.uri)
    assert (one.name, two.name) == ("mlflow-ok", "mlflow-files")
    assert two.next_step == "see the server's log; it must be able to write to its store"


@pytest.fixture(scope="module")
def direct(served: MlflowServer) -> str:
    """A project whose files do not pass through the server, but go to S3 from wherever a run is."""
    from mlflow.tracking import MlflowClient

    MlflowClient(served.uri).create_experiment("direct", artifact_location=f"s3://{BUCKET}/direct")
    return "direct"


def test_files_that_go_to_s3_from_here_are_tried(served: MlflowServer, direct: str, check: Check, relay: Relay) -> None:
    found = check(served.uri, direct)
    assert found[1].found == f"{served.uri}: read; a file at s3://{BUCKET}/direct was written, read and deleted"
    relay.refuse()
    (_, told) = check(served.uri, direct, MLFLOW_S3_ENDPOINT_URL=relay.endpoint)
    assert told.name == "mlflow-files"
    assert relay.endpoint in told.found
    assert "MLFLOW_S3_ENDPOINT_URL" in told.next_step


def test_files_in_s3_whose_key_is_missing_here_are_told(served: MlflowServer, direct: str, check: Check) -> None:
    (_, told) = check(served.uri, direct, AWS_SECRET_ACCESS_KEY=SENTINEL)
    assert told.name == "mlflow-files"
    assert told.next_step.startswith("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    assert "or set MLFLOW_S3_ENDPOINT_URL" in told.next_step
    assert SENTINEL not in str(told)


def test_files_on_the_servers_own_disk_are_told(served: MlflowServer, tmp_path: Path, check: Check) -> None:
    from mlflow.tracking import MlflowClient

    elsewhere = tmp_path / "of-the-server"
    MlflowClient(served.uri).create_experiment("elsewhere", artifact_location=elsewhere.as_uri())
    shutil.rmtree(elsewhere, ignore_errors=True)
    (_, told) = check(served.uri, "elsewhere")
    assert told.name == "mlflow-files-elsewhere"
    assert told.found == f"{served.uri}: stores files in {elsewhere} of its own machine"
    assert "--artifacts-destination" in told.next_step


def test_a_server_that_is_called_by_another_name_is_told(served: MlflowServer, check: Check) -> None:
    found = check(served.uri.replace("127.0.0.1", "localhost"))
    assert names(found) == ["mlflow-ok", "mlflow-host"]
    assert found[1].next_step == "name it in MLFLOW_SERVER_ALLOWED_HOSTS of the server"


def test_a_server_that_is_down_is_told_in_seconds(check: Check) -> None:
    begun = time.monotonic()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        (told,) = check(f"http://me:{SENTINEL}@127.0.0.1:{taken.getsockname()[1]}")
    assert told.name == "mlflow-no-answer"
    assert "Connection refused" in told.found
    assert told.next_step == "is it up, and is MLFLOW_TRACKING_URI right?"
    assert SENTINEL not in str(told)
    assert time.monotonic() - begun < 15


def test_a_server_that_is_silent_is_told_in_seconds(check: Check) -> None:
    begun = time.monotonic()
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert names(check(f"http://127.0.0.1:{silent.getsockname()[1]}")) == ["mlflow-no-answer"]
    assert time.monotonic() - begun < 15


def test_another_version_is_told(check: Check) -> None:
    with answering((200, "2.9.1"), (404, "")) as uri:
        told, failed = check(uri)
    assert told.name == "mlflow-version"
    assert told.found == f"MLflow at {uri}: version 2.9.1, the client here is {mlflow_probe.client_version()}"
    assert mlflow_probe.client_version() in told.next_step
    assert (failed.name, failed.next_step) == ("mlflow-failed", "see the server's log")


@pytest.mark.parametrize("answer", [(404, "not found"), (200, "<html>Welcome</html>"), (502, "bad gateway")])
def test_what_is_not_mlflow_is_told(check: Check, answer: tuple[int, str]) -> None:
    with answering(answer, answer) as uri:
        (told,) = check(uri)
    assert (told.name, told.next_step) == ("mlflow-no-api", "is MLFLOW_TRACKING_URI right?")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_server_that_wants_another_user_is_told(check: Check, status: int, at_once: bool) -> None:
    refused = (status, "You are not authenticated.")
    version = refused if at_once else (200, mlflow_probe.client_version())
    with answering(version, refused) as uri:
        found = check(uri, MLFLOW_TRACKING_USERNAME="me", MLFLOW_TRACKING_PASSWORD=SENTINEL)
    assert found[-1].name == "mlflow-refused"
    assert found[-1].next_step.startswith("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    assert SENTINEL not in str(found)


def test_a_database_that_is_not_there_is_not_made(check: Check, tmp_path: Path) -> None:
    (told,) = check("sqlite:///not/yet/mlflow.db")
    assert (told.name, told.next_step) == ("mlflow-new", "")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_database_that_is_there_is_read_and_nothing_is_left(database: Path, check: Check) -> None:
    before = {path.name for path in database.parent.iterdir()}
    found = check(f"sqlite:///{database}")
    assert names(found) == ["mlflow-ok", "mlflow-ok"]
    assert {path.name for path in database.parent.iterdir()} == before


def test_a_database_that_is_locked_is_told_in_seconds(database: Path, check: Check) -> None:
    begun = time.monotonic()
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (told,) = check(f"sqlite:///{database}")
        other.execute("ROLLBACK")
    assert (told.name, told.next_step) == ("mlflow-locked", "wait for the process that uses it, or stop it")
    assert time.monotonic() - begun < 15


def test_a_folder_in_which_no_database_can_be_made_is_told(check: Check) -> None:
    (told,) = check("sqlite:////proc/self/mlflow.db")
    assert (told.name, told.next_step) == ("mlflow-unwritable", "set MLFLOW_TRACKING_URI to a writable database")


def test_a_file_that_is_no_database_is_told(tmp_path: Path, check: Check) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, and long enough to be one" * 50)
    (told,) = check("sqlite:///mlflow.db")
    assert told.name == "mlflow-database"
    assert "file is not a database" in told.found
    assert told.next_step


def test_tables_of_another_version_are_told_and_left_alone(database: Path, tmp_path: Path, check: Check) -> None:
    old = Path(shutil.copy(database, tmp_path / "old.db"))
    with closing(sqlite3.connect(old, isolation_level=None)) as changed:
        changed.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = old.read_bytes()
    found = check(f"sqlite:///{old}")
    assert names(found) == ["mlflow-ok", "mlflow-schema"]
    assert found[1].next_step.startswith("`mlflow db upgrade` with its address, after a backup")
    assert old.read_bytes() == before


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgres]:
    with postgres.running() as running:
        yield running


def test_an_empty_postgresql_stays_empty(postgresql: Postgres, check: Check) -> None:
    (told,) = check(postgresql.uri(postgresql.port))
    assert told.name == "mlflow-new"
    with psycopg.connect(postgresql.uri(postgresql.port).replace("+psycopg", "")) as asked:
        (count,) = asked.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() or (None,)
    assert count == 0


def test_a_postgresql_that_refuses_the_password_is_told(postgresql: Postgres, check: Check) -> None:
    (told,) = check(postgresql.uri(postgresql.port).replace(PASSWORD, SENTINEL))
    assert told.name == "mlflow-refused"
    assert "password authentication failed" in told.found
    assert told.next_step == "correct user and password in MLFLOW_TRACKING_URI"
    assert SENTINEL not in str(told)


def test_a_postgresql_that_is_down_is_told_in_seconds(postgresql: Postgres, check: Check) -> None:
    begun = time.monotonic()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        (told,) = check(postgresql.uri(taken.getsockname()[1]))
    assert told.name == "mlflow-database"
    assert time.monotonic() - begun < 15


def test_what_can_only_reach_servers_is_not_asked_for_a_database(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert names(check("sqlite:///mlflow.db")) == ["mlflow-not-asked"]
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (told,) = check("http://127.0.0.1:9")
    assert told.found == "MLflow is not installed here; pip install 'adloom[train]' brings it"


def test_a_moved_project_and_lost_files_are_told(tmp_path: Path, check: Check) -> None:
    tiny_models.write_audience(tmp_path / "audience")
    old = tmp_path / "old"
    MlflowRegistry(f"sqlite:///{old}/mlflow.db", "shop").register("audience", tmp_path / "audience", {})
    moved = old.rename(tmp_path / "moved")
    before = (moved / "mlflow.db").read_bytes()
    (told,) = check(f"sqlite:///{moved}/mlflow.db")
    assert told.name == "mlflow-moved"
    assert told.found.endswith(f"was moved or copied from {(old / 'mlartifacts').as_uri()}")
    assert (moved / "mlflow.db").read_bytes() == before
    shutil.rmtree(moved / "mlartifacts")
    (told,) = check(f"sqlite:///{moved}/mlflow.db")
    assert (told.name, told.found.endswith("mlartifacts, which does not exist")) == ("mlflow-files", True)
