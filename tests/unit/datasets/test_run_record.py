"""A record: equal when nothing changed, kept once, and read from its run."""

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
def made(tmp_path: Path) -> RunRecord:
    """The record of a folder with one model and its report."""
    for name in ("models/cnn", "reports/cnn"):
        with manifest.draft(tmp_path / name, "test", ConfigModel(), {}) as draft:
            (draft.path / "metrics.json").write_text(
                metrics_to_json({"accuracy": Metric(0.9, 0.85, 0.95, 100, "share")})
            )
    return run_record.build_record({"project": "shop"}, {"copy": "c0ffee"}, "d1", tmp_path, Settings(git_commit="abc"))


def test_a_record_says_what_it_takes_and_what_came_out(made: RunRecord, tmp_path: Path) -> None:
    assert made.artifacts == {name: manifest.digest(tmp_path / name) for name in ("models/cnn", "reports/cnn")}
    assert made.metrics["cnn"]["accuracy"].value == 0.9
    assert (made.project, made.dataset, made.git_commit, made.sources) == ("shop", "d1", "abc", {"copy": "c0ffee"})
    assert made.machine.packages["numpy"]
    assert made.machine.cpu == cpu.read_cpu()


def test_it_is_kept_once_and_read_back(made: RunRecord, context: StageContext) -> None:
    run_id = run_record.save_record(made, context.tracker)
    assert run_id
    assert run_record.save_record(made, context.tracker) is None
    assert run_record.read_record(run_id, context.tracker) == made
    other = made.model_copy(update={"dataset": "d2"})
    assert run_record.save_record(other, context.tracker) not in {None, run_id}


def test_each_run_of_a_pipeline_keeps_its_own_though_they_are_equal(made: RunRecord, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    runs = [MlflowTracker(uri, "shop", find_parent=ParentRun(None, name)) for name in ("first", "second")]
    first, second = (run_record.save_record(made, tracker) for tracker in runs)
    assert first != second
    assert [run_record.read_record(str(run_id), runs[0]) for run_id in (first, second)] == [made, made]
    server = MlflowConnection(uri, "shop")
    tags = server.client.get_run(str(second)).data.tags
    assert (tags["dataset"], tags.get("reason")) == ("d1", None)  # which the pipeline's first task has said
    assert run_record.save_record(made, MlflowTracker(uri, "shop")) is None
    laptops = run_record.save_record(made.model_copy(update={"dataset": "d2"}), MlflowTracker(uri, "shop"))
    assert server.client.get_run(str(laptops)).data.tags["reason"] == "by hand"


def test_a_run_that_is_not_there_or_kept_none_is_named(made: RunRecord, context: StageContext, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run 7: no such run"):
        run_record.read_record("7", context.tracker)
    (tmp_path / "run.json").write_bytes(made.to_bytes().replace(b'"format": 1', b'"format": "new"'))
    with context.tracker.start_run("train_gan", {}, {}) as run:
        pass
    with pytest.raises(DataError, match="run 1: has no run.json"):
        run_record.read_record("1", context.tracker)
    run.log_artifact(tmp_path / "run.json")
    with pytest.raises(DataError, match="run 1: its run.json is not of format 1: format: "):
        run_record.read_record("1", context.tracker)
