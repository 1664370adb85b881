"""The tracker in memory records what MLflow would."""

from pathlib import Path

import pytest

from adloom.errors import DataError
from adloom.tracking.memory import MemoryTracker


def test_a_run_is_found_by_a_tag_and_its_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(b"{}")
    tracker = MemoryTracker()
    assert MemoryTracker().last_run_id is None
    with tracker.start_run("train_cnn", {"epochs": 2}, {"a": "b"}) as run:
        run.log_metrics({"loss": 0.5}, 1)
        run.set_tags({"manifest_digest": "d"})
        run.log_artifact(tmp_path / "card.json")
    (recorded,) = tracker.runs
    assert (recorded.recorded, recorded.status) == ({"loss": [(1, 0.5)]}, "FINISHED")
    assert tracker.find_run("manifest_digest", "d") == tracker.find_run("a", "b") == tracker.last_run_id == "1"
    assert tracker.find_run("manifest_digest", "e") is None
    assert tracker.read_artifact("1", "card.json") == b"{}"


@pytest.mark.parametrize(("run_id", "name"), [("1", "run.json"), ("2", "card.json")])
def test_an_absent_file_or_run_is_named(run_id: str, name: str) -> None:
    tracker = MemoryTracker()
    with tracker.start_run("train_cnn", {}, {}):
        pass
    with pytest.raises(DataError, match=f"^run {run_id}: "):
        tracker.read_artifact(run_id, name)


def test_a_run_that_raises_has_failed() -> None:
    tracker = MemoryTracker()
    with pytest.raises(KeyboardInterrupt), tracker.start_run("train_cnn", {}, {}):
        raise KeyboardInterrupt
    assert tracker.runs[0].status == "FAILED"
