"""Records: equal when nothing changed, stored once, read back; and which files count as code."""

from pathlib import Path

import pytest

from adloom.config.base import ConfigModel
from adloom.config.settings import Settings
from adloom.context import StageContext
from adloom.datasets import run_record
from adloom.datasets.run_record import RunRecord
from adloom.errors import DataError
from adloom.evaluation.metric import Metric, metrics_to_json
from adloom.storage import manifest
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import ParentRun
from adloom.training import cpu


@pytest.fixture
def recorded(tmp_path: Path) -> RunRecord:
    """The record of a folder with one model and its report."""
    for name in ("models/cnn", "reports/cnn"):
        with manifest.draft(tmp_path / name, "test", ConfigModel(), {}) as draft:
            (draft.path / "metrics.json").write_text(
                metrics_to_json({"accuracy": Metric(0.9, 0.85, 0.95, 100, "share")})
            )
    return run_record.build_record({"project": "shop"}, {"copy": "c0ffee"}, "d1", tmp_path, Settings(git_commit="abc"))


def test_a_record_has_inputs_and_results(recorded: RunRecord, tmp_path: Path) -> None:
    assert recorded.artifacts == {name: manifest.digest(tmp_path / name) for name in ("models/cnn", "reports/cnn")}
    assert recorded.metrics["cnn"]["accuracy"].value == 0.9
    assert (recorded.project, recorded.dataset, recorded.git_commit, recorded.sources) == (
        "shop",
        "d1",
        "abc",
        {"copy": "c0ffee"},
    )
    assert recorded.machine.packages["numpy"]
    assert recorded.machine.cpu == cpu.read_cpu()


def test_a_record_is_stored_once_and_read_back(recorded: RunRecord, context: StageContext) -> None:
    run_id = run_record.save_record_if_new(recorded, context.tracker)
    assert run_id
    assert run_record.save_record_if_new(recorded, context.tracker) is None
    assert run_record.read_record(run_id, context.tracker) == recorded
    other = recorded.model_copy(update={"dataset": "d2"})
    assert run_record.save_record_if_new(other, context.tracker) not in {None, run_id}


@pytest.mark.slow
def test_each_run_of_a_pipeline_stores_a_record(recorded: RunRecord, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    runs = [MlflowTracker(uri, "shop", find_parent=ParentRun(None, name)) for name in ("first", "second")]
    first, second = (run_record.save_record_if_new(recorded, tracker) for tracker in runs)
    assert first != second
    assert [run_record.read_record(str(run_id), runs[0]) for run_id in (first, second)] == [recorded, recorded]
    server = MlflowConnection(uri, "shop")
    tags = server.client.get_run(str(second)).data.tags
    assert (tags["dataset"], tags.get("reason")) == ("d1", None)  # which the pipeline's first task has said
    assert run_record.save_record_if_new(recorded, MlflowTracker(uri, "shop")) is None
    laptops = run_record.save_record_if_new(recorded.model_copy(update={"dataset": "d2"}), MlflowTracker(uri, "shop"))
    assert server.client.get_run(str(laptops)).data.tags["reason"] == "by hand"


def test_a_missing_run_or_record_is_named(recorded: RunRecord, context: StageContext, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run 7: no such run"):
        run_record.read_record("7", context.tracker)
    (tmp_path / "run.json").write_bytes(recorded.to_bytes().replace(b'"format": 1', b'"format": "new"'))
    with context.tracker.start_run("train_gan", {}, {}) as run:
        pass
    with pytest.raises(DataError, match="run 1: has no run.json"):
        run_record.read_record("1", context.tracker)
    run.log_artifact(tmp_path / "run.json")
    with pytest.raises(DataError, match="run 1: its run.json is not of format 1: format: "):
        run_record.read_record("1", context.tracker)
