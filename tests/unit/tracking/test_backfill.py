"""The run of a training is completed from its artifact."""

import json
from pathlib import Path

import pytest

from adloom.config.sources import Source
from adloom.storage import manifest
from adloom.tracking.backfill import complete_run
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import no_parent

POINTS = [[step, step / 2] for step in range(1, 4)]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact with params and a curve; each test's differs."""
    with manifest.draft(tmp_path / "cnn", "train_cnn", Source(uri=tmp_path.name), {}) as draft:
        (draft.path / "card.json").write_text(json.dumps({"params": {"epochs": 3, "place": tmp_path.name}}))
        (draft.path / "history.json").write_text(json.dumps({"loss": POINTS}))
    return tmp_path / "cnn"


def read_curve(server: MlflowConnection, run_id: str) -> list[list[float]]:
    return sorted([point.step, point.value] for point in server.client.get_metric_history(run_id, "loss"))


def test_a_run_that_mlflow_never_heard_of_is_created_once(server: MlflowConnection, artifact: Path) -> None:
    run = complete_run(artifact, {"git_commit": "abc"}, server, no_parent)
    again = complete_run(artifact, {}, server, no_parent)
    assert again.info.run_id == run.info.run_id
    assert (again.info.status, again.info.run_name) == ("FINISHED", "train_cnn")
    assert again.data.params["epochs"] == "3"
    assert again.data.tags["git_commit"] == "abc"
    assert again.data.tags["manifest_digest"] == manifest.digest(artifact)
    assert read_curve(server, run.info.run_id) == POINTS


def test_an_unfinished_run_gets_what_it_lacks(server: MlflowConnection, artifact: Path) -> None:
    tags = {"dataset_digest": "", "params_digest": manifest.read(artifact).params}
    run_id = server.client.create_run(server.experiment_id(), run_name="train_cnn", tags=tags).info.run_id
    server.client.log_metric(run_id, "loss", 0.5, step=1)
    assert complete_run(artifact, {}, server, no_parent).info.run_id == run_id
    assert read_curve(server, run_id) == POINTS
    assert server.client.get_run(run_id).info.status == "FINISHED"


def test_a_new_run_lies_below_the_parent(server: MlflowConnection, artifact: Path) -> None:
    experiment = server.client.create_experiment(f"another of {artifact.parent.name}")
    parent = server.client.create_run(experiment).info.run_id
    run = complete_run(artifact, {}, server, lambda _: str(parent))
    assert (run.info.experiment_id, run.data.tags["mlflow.parentRunId"]) == (experiment, parent)
