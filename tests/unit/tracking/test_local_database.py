"""The SQLite database is complete or absent, and its paths follow its folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import tiny_models

from adloom.errors import ArtifactError, ExternalServiceError
from adloom.registry.base import fetch_verified
from adloom.registry.mlflow import MlflowRegistry
from adloom.tracking.local_database import LocalDatabase

pytestmark = pytest.mark.slow

OPEN = """
import resource, sys
from pathlib import Path
from adloom.tracking.mlflow_server import MlflowConnection
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
server = MlflowConnection(f"sqlite:///{sys.argv[1]}", "shop")
with server.translate_errors("open it"):
    server.client
"""


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registered audience."""
    folder = tmp_path_factory.mktemp("registered")
    tiny_models.write_audience(folder / "models" / "audience")
    open_registry(folder).register("audience", folder / "models" / "audience", {})
    return folder


@pytest.fixture
def shop(registered: Path, tmp_path: Path) -> Path:
    """A copy of that folder, opened where it is."""
    folder = Path(shutil.copytree(registered, tmp_path / "a shop"))
    assert open_registry(folder)._server.client
    return folder


def open_registry(folder: Path) -> MlflowRegistry:
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    _artifact_repos_cache.clear()  # as in a new process
    return MlflowRegistry(f"sqlite:///{folder}/mlflow.db", "shop")


def test_a_moved_project_has_its_files(shop: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, moved = (shop / "mlartifacts").as_uri(), shop.rename(tmp_path / "shöp")
    assert LocalDatabase(moved / "mlflow.db").find_old_locations() == [old]
    registry = open_registry(moved)
    (version,) = registry.versions("audience")
    assert fetch_verified(registry, version, tmp_path / "fetched")
    assert f"was moved or copied from {old}; its paths now name {moved}" in caplog.text
    assert registry.register("audience", moved / "models" / "audience", {}) == version
    stored = registry._server.client.get_model_version("shop-audience", "1")
    assert stored.source.startswith((moved / "mlartifacts").as_uri())


def test_a_copy_reads_its_own_files(shop: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shop, tmp_path / "copy"))
    shutil.rmtree(shop / "mlartifacts")
    registry = open_registry(copy)
    assert fetch_verified(registry, registry.versions("audience")[0], tmp_path / "fetched")


def test_lost_files_are_named_and_registering_stores_them_again(shop: Path, tmp_path: Path) -> None:
    database, registry = LocalDatabase(shop / "mlflow.db"), open_registry(shop)
    (version,) = registry.versions("audience")
    assert database.find_lost_folder() is None
    shutil.rmtree(shop / "mlartifacts")
    assert database.find_lost_folder() == shop / "mlartifacts"
    with pytest.raises(ArtifactError, match="audience 1: its files are not in MLflow at .* any more; move them back"):
        registry.fetch(version, tmp_path / "fetched")
    assert registry.register("audience", shop / "models" / "audience", {}) == version
    assert fetch_verified(registry, version, tmp_path / "fetched")


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    for name in ("mlflow.db.new", "mlflow.db.new-journal"):
        (tmp_path / name).write_bytes(b"half a database")
    assert open_registry(tmp_path)._server.client
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == ["mlflow.db"]


def test_a_full_disk_is_one_line_and_leaves_no_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path / "mlflow.db"), "100000"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is there room, and the right to write, in" in ended.stderr.splitlines()[-1]
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == []


def test_the_half_made_tables_of_another_program_may_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adloom.tracking.local_database.CREATE_PAUSES", ())
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path}/mlflow.db")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE metrics ADD COLUMN step BIGINT")
    engine.dispose()
    with pytest.raises(ArtifactError, match="its tables are incomplete, .*; remove .*mlflow.db, which holds no run"):
        open_registry(tmp_path).versions("audience")
    (tmp_path / "mlflow.db").write_bytes(b"")  # an empty file is no database
    assert open_registry(tmp_path).versions("audience") == []


def test_a_file_that_is_held_or_no_database_is_named(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "mlflow.db")
    database.assert_unlocked()
    database.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(ExternalServiceError, match="file is not a database; check the file"):
        database.assert_unlocked()
