"""The tracker in memory shows tests what a training recorded."""

from pathlib import Path

import pytest

from adloom.tracking.memory import MemoryTracker


def test_everything_recorded_is_shown(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(b"{}")
    tracker = MemoryTracker()
    with tracker.start_run("train_cnn", {"epochs": 2}, {"a": "b"}) as run:
        for step in (1, 2):
            run.log_metrics({"loss": 1 / step}, step)
        run.log_artifact(tmp_path / "card.json")
    (recorded,) = tracker.runs
    assert (recorded.name, recorded.params, recorded.recorded_tags) == ("train_cnn", {"epochs": 2}, {"a": "b"})
    assert (recorded.recorded, recorded.artifacts) == ({"loss": [(1, 1.0), (2, 0.5)]}, ["card.json"])
    assert (recorded.status, MemoryTracker().last_run_id) == ("FINISHED", None)


def test_a_run_that_raises_has_failed() -> None:
    tracker = MemoryTracker()
    with pytest.raises(KeyboardInterrupt), tracker.start_run("train_cnn", {}, {}):
        raise KeyboardInterrupt
    assert tracker.runs[0].status == "FAILED"
