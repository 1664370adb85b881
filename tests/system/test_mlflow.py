"""Tracking and registry with a real MLflow on SQLite, checked by MLflow's own client."""

import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from tests.support import tiny_models

from adloom.errors import DataError, ExternalServiceError
from adloom.registry.base import CHALLENGER, CHAMPION, find_alias
from adloom.registry.mlflow import MlflowRegistry
from adloom.storage import manifest
from adloom.tracking.local_database import LocalDatabase
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import CLIENT_VARIABLES

MADE_BY = {"git_commit": "c0ffee", "image_digest": "sha256:1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind, and with mlflow.db after the first call."""
    folder = tmp_path_factory.mktemp("mlflow")
    tiny_models.write_models(folder / "models")
    return folder


@pytest.fixture(scope="module")
def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def registry(uri: str) -> MlflowRegistry:
    return MlflowRegistry(uri, "shop", lambda: MADE_BY)


@pytest.fixture(scope="module")
def tracker(uri: str) -> MlflowTracker:
    return MlflowTracker(uri, "shop", lambda: MADE_BY)


@pytest.fixture(scope="module")
def client(uri: str, registry: MlflowRegistry) -> Any:
    """MLflow's own client."""
    registry.versions("gan")
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, uri)


def test_a_training_is_tracked(folder: Path, tracker: MlflowTracker, client: Any) -> None:
    with tracker.start_run("train_cnn", {"learning_rate": 0.004, "epochs": 2}, {"dataset_digest": "d"}) as run:
        for epoch in (1, 2):
            run.log_metrics({"loss": 1 / epoch, "accuracy": 0.5}, step=epoch)
        run.log_artifact(folder / "models" / "cnn" / "card.json")
        run.set_tags({"manifest_digest": "m"})
    experiment = client.get_experiment_by_name("shop")
    assert experiment.artifact_location == (folder / "mlartifacts").as_uri()
    (stored,) = client.search_runs([experiment.experiment_id], "tags.manifest_digest = 'm'")
    assert (stored.info.run_name, stored.info.status) == ("train_cnn", "FINISHED")
    assert stored.data.params == {"learning_rate": "0.004", "epochs": "2"}
    assert {**MADE_BY, "dataset_digest": "d"}.items() <= stored.data.tags.items()
    assert [(m.step, m.value) for m in client.get_metric_history(stored.info.run_id, "loss")] == [(1, 1.0), (2, 0.5)]
    assert [file.path for file in client.list_artifacts(stored.info.run_id)] == ["card.json"]


def test_a_failed_training_has_a_failed_run(tracker: MlflowTracker, client: Any) -> None:
    def fail() -> None:
        with tracker.start_run("train_gan", {}, {"why": "broke"}):
            raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        fail()
    experiment = client.get_experiment_by_name("shop").experiment_id
    (stored,) = client.search_runs([experiment], "tags.why = 'broke'")
    assert stored.info.status == "FAILED"


def test_a_run_is_searched_by_tag_and_its_file_read_back(folder: Path, tracker: MlflowTracker) -> None:
    assert tracker.find_run("record", "none such") is None
    with tracker.start_run("run", {}, {}) as run:
        run.log_artifact(folder / "models" / "cnn" / "card.json")
        run.set_tags({"record": "r1"})
    run_id = tracker.find_run("record", "r1")
    assert run_id == tracker.last_run_id
    assert tracker.read_artifact(str(run_id), "card.json") == (folder / "models" / "cnn" / "card.json").read_bytes()
    with pytest.raises(DataError, match=f"^run {run_id}: has no run.json; "):
        tracker.read_artifact(str(run_id), "run.json")
    for unknown in ("0" * 32, "not an id"):
        with pytest.raises(DataError, match=f"^run {unknown}: no such run in MLflow at sqlite:///"):
            tracker.read_artifact(unknown, "run.json")
    with pytest.raises(
        DataError, match=r"there is no MLflow at sqlite:///.*elsewhere.db; MLFLOW_TRACKING_URI says where"
    ):
        MlflowTracker(f"sqlite:///{folder / 'elsewhere.db'}", "shop").read_artifact("0" * 32, "run.json")


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URI of a server that is down: its port is bound but not listening."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_down_costs_two_warnings_and_not_the_training(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with (
        caplog.at_level(logging.WARNING, "adloom"),
        MlflowTracker(nowhere, "shop").start_run("train_gan", {}, {}) as run,
    ):
        for step in range(100):
            run.log_metrics({"loss": 1.0}, step)
        run.set_tags({"manifest_digest": "m"})
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("adloom")]
    away, still_away = warnings
    assert away.endswith(": Connection refused; the training goes on; its numbers are queued and sent when it answers")
    assert still_away.endswith(
        ": still away; `adloom run`, or register in a pipeline, sends the rest from the artifact"
    )
    assert "secret" not in "".join(warnings)
    assert time.monotonic() - began < 15


def test_a_registry_that_is_down_is_one_line(nowhere: str) -> None:
    with pytest.raises(
        ExternalServiceError,
        match=r"^MLflow at http://127.0.0.1:\d+: cannot list versions of gan: Connection refused; ",
    ) as caught:
        MlflowRegistry(nowhere, "shop").versions("gan")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["gan", "cnn", "lstm", "style", "music", "audience", "recommender", "policy"])
def test_an_artifact_comes_back_as_it_was_and_only_once(
    model: str, folder: Path, registry: MlflowRegistry, tmp_path: Path
) -> None:
    artifact = folder / "models" / model
    first = registry.register(
        model, artifact, {"verdict": "hold", "reasons": json.dumps(["très bien"], ensure_ascii=False)}
    )
    again = registry.register(model, artifact, {"verdict": "promote"})
    assert (first.version, again.version) == (1, 1)
    (version,) = registry.versions(model)
    assert version.digest == manifest.digest(artifact)
    assert {**MADE_BY, "verdict": "promote", "reasons": '["très bien"]'}.items() <= version.tags.items()
    fetched = registry.fetch(version, tmp_path / "fetched")
    assert manifest.verify(fetched) == manifest.verify(artifact)
    assert {path.name for path in fetched.iterdir()} == {path.name for path in artifact.iterdir()}


@pytest.mark.parametrize("model", ["gan", "cnn", "lstm", "style"])
def test_any_mlflow_tool_can_load_a_version(model: str, folder: Path, registry: MlflowRegistry, uri: str) -> None:
    registry.register(model, folder / "models" / model, {})
    import mlflow

    mlflow.set_tracking_uri(uri)
    loaded = mlflow.pyfunc.load_model(f"models:/shop-{model}/1")
    assert "onnx" in loaded.metadata.flavors
    expected = {port.name: port.shape[1:] for port in loaded.metadata.signature.outputs}
    answered = loaded.predict(loaded.input_example)
    assert set(answered) == set(expected)
    assert all(np.isfinite(array).all() for array in answered.values())


def test_the_audience_has_a_signature(folder: Path, registry: MlflowRegistry, uri: str) -> None:
    registry.register("audience", folder / "models" / "audience", {})
    import mlflow

    mlflow.set_tracking_uri(uri)
    model = mlflow.models.Model.load("models:/shop-audience/1")
    assert model.signature.inputs.input_names()[:2] == ["recency_days", "frequency"]
    assert model.signature.outputs.input_names() == ["segment"]
    assert set(model.load_input_example()) == set(model.signature.inputs.input_names())


def test_the_policy_has_a_signature(folder: Path, registry: MlflowRegistry, uri: str) -> None:
    registry.register("policy", folder / "models" / "policy", {})
    import mlflow

    mlflow.set_tracking_uri(uri)
    model = mlflow.models.Model.load("models:/shop-policy/1")
    assert model.signature.inputs.input_names() == ["placement", "segment", "creative_id"]
    assert model.signature.outputs.input_names() == ["probability"]
    assert set(model.load_input_example()) == set(model.signature.inputs.input_names())


def test_a_version_belongs_to_the_run_of_its_training(
    tmp_path: Path, tracker: MlflowTracker, registry: MlflowRegistry, client: Any
) -> None:
    tiny_models.write_generator(tmp_path / "gan", channels=3)
    with tracker.start_run("train_gan", {}, {}) as run:
        run.set_tags({"manifest_digest": manifest.digest(tmp_path / "gan")})
    version = registry.register("lineage", tmp_path / "gan", {})
    stored = client.get_model_version("shop-lineage", str(version.version))
    assert client.get_run(stored.run_id).info.run_name == "train_gan"


def test_aliases_move_and_every_move_is_kept(folder: Path, registry: MlflowRegistry, tmp_path: Path) -> None:
    tiny_models.write_generator(tmp_path / "other", channels=2)
    for artifact in (folder / "models" / "gan", tmp_path / "other"):
        registry.register("moving", artifact, {})
    assert registry.alias_events("moving") == []
    registry.set_alias("moving", CHALLENGER, 2, "registered")
    registry.set_alias("moving", CHAMPION, 1, "cleared its bars")
    registry.set_alias("moving", CHAMPION, 2, "schöner", by="person")
    one, two = registry.versions("moving")
    assert (one.aliases, two.aliases) == ((), (CHALLENGER, CHAMPION))
    moves = [(move.alias, move.version, move.reason, move.by) for move in registry.alias_events("moving")]
    assert moves[1:] == [(CHAMPION, 1, "cleared its bars", "gate"), (CHAMPION, 2, "schöner", "person")]
    with pytest.raises(ExternalServiceError, match="cannot let champion mean moving 9"):
        registry.set_alias("moving", CHAMPION, 9, "no such version")
    assert find_alias(registry.versions("moving"), CHAMPION) == two


def test_a_locked_registry_is_one_line_and_nothing_is_half_registered(
    folder: Path, registry: MlflowRegistry, client: Any
) -> None:
    began = time.monotonic()
    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ExternalServiceError, match=r"database is locked for 5 s; "):
            registry.register("locked", folder / "models" / "gan", {})
        other.execute("ROLLBACK")
    assert time.monotonic() - began < 15
    assert registry.versions("locked") == []
    assert client.search_registered_models("name = 'shop-locked'") == []
    assert registry.register("locked", folder / "models" / "gan", {}).version == 1


def test_nothing_is_left_in_the_working_folder(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"models", "mlflow.db", "mlartifacts"}
    assert not Path("mlruns").exists()


OPEN = """
import multiprocessing, sys
import mlflow.store.tracking.sqlalchemy_store  # which each process would import for seconds
from adloom.tracking.mlflow import MlflowTracker

def track():
    together.wait()
    with MlflowTracker(sys.argv[1], "shop").start_run("train_cnn", {}, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)

fork = multiprocessing.get_context("fork")
together = fork.Barrier(3)
processes = [fork.Process(target=track) for _ in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


def test_processes_that_open_an_empty_database_together_all_track(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path / 'mlflow.db'}"]
    quiet = os.environ | CLIENT_VARIABLES
    ended = subprocess.run(command, capture_output=True, text=True, env=quiet, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall() == [("FINISHED", 3)]


def test_tables_that_another_program_creates_meanwhile_are_used(tmp_path: Path) -> None:
    """The first attempt fails on a table of the other program; the second sees it."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}")
    statements = iter(["CREATE TABLE runs (id)", "SELECT * FROM runs"])

    def connect() -> list[Any]:
        with engine.begin() as connection:
            return list(connection.exec_driver_sql(next(statements)))

    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("CREATE TABLE runs (id)")
    assert LocalDatabase(tmp_path / "mlflow.db").open(connect) == []
    engine.dispose()
