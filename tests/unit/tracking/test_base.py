"""The protocol of trackers, as the trackers in memory and in MLflow keep it."""

from pathlib import Path

import pytest

from adloom.errors import DataError
from adloom.tracking.base import Tracker
from adloom.tracking.memory import MemoryTracker
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import MlflowConnection


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request: pytest.FixtureRequest, server: MlflowConnection) -> Tracker:
    return MemoryTracker() if request.param == "memory" else MlflowTracker(server.uri, request.node.name[:40])


@pytest.mark.slow
def test_a_run_is_found_by_a_tag_and_its_files_are_read(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(b"{}")
    with tracker.start_run("train_cnn", {"epochs": 2}, {"a": "b"}) as run:
        run.log_metrics({"loss": 0.5}, 1)
        run.set_tags({"manifest_digest": "d"})
        run.log_artifact(tmp_path / "card.json")
    run_id = tracker.find_run("manifest_digest", "d")
    assert run_id
    assert run_id == tracker.find_run("a", "b") == tracker.last_run_id
    assert tracker.find_run("manifest_digest", "e") is None
    assert tracker.read_artifact(run_id, "card.json") == b"{}"
    for unknown, name in ((run_id, "run.json"), ("0" * 32, "card.json")):
        with pytest.raises(DataError, match=f"^run {unknown}: "):
            tracker.read_artifact(unknown, name)


def test_the_newest_value_of_a_tag_is_found(tracker: Tracker) -> None:
    assert tracker.find_newest_tag("asked") is None
    for value in ("first", "second", None):
        with tracker.start_run("drift", {}, {"asked": value} if value else {}):
            pass
    assert tracker.find_newest_tag("asked") == "second"


def test_without_a_parent_its_run_is_a_run_of_its_own(tracker: Tracker) -> None:
    assert not tracker.has_parent()
    with tracker.parent_run("run") as run:
        run.set_tags({"record": "r"})
    assert tracker.find_run("record", "r") == tracker.last_run_id


def test_an_error_in_a_run_is_raised(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.start_run("train_cnn", {}, {"b": "c"}):
        raise KeyboardInterrupt
    assert tracker.find_run("b", "c")
