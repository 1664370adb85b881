"""A trial's tracker: it reports the objective, ends a hopeless trial, and its run in MLflow ends well."""

from pathlib import Path

import optuna
import pytest
from optuna.pruners import ThresholdPruner

from adloom.tracking.memory import MemoryTracker
from adloom.tuning.trial_tracker import STATE_TAG, TrialTracker


def open_tracker() -> tuple[TrialTracker, MemoryTracker]:
    tracker = MemoryTracker()
    trial = optuna.create_study(pruner=ThresholdPruner(upper=1.0)).ask()
    return TrialTracker(tracker, trial, "loss"), tracker


def test_the_objective_is_reported_and_everything_is_recorded(tmp_path: Path) -> None:
    trials, tracker = open_tracker()
    (tmp_path / "sheet.png").write_bytes(b"picture")
    with trials.start_run("train_net", {"width": 3}, {"tag": "value"}) as run:
        run.log_metrics({"loss": 0.5, "other": 9.0}, 1)
        run.log_metrics({"other": 9.0}, 2)
        run.log_artifact(tmp_path / "sheet.png")
    assert trials.trial.study.trials[0].intermediate_values == {1: 0.5}
    [recorded] = tracker.runs
    assert recorded.recorded == {"loss": [(1, 0.5)], "other": [(1, 9.0), (2, 9.0)]}
    assert (recorded.status, recorded.artifacts) == ("FINISHED", ["sheet.png"])
    assert recorded.recorded_tags == {"tag": "value", STATE_TAG: "complete"}


def test_a_pruned_trial_ends_at_once_and_its_run_is_no_failure() -> None:
    trials, tracker = open_tracker()
    with pytest.raises(optuna.TrialPruned), trials.start_run("train_net", {}, {}) as run:
        run.log_metrics({"loss": 2.0}, 1)
        raise AssertionError("it goes on")
    assert (tracker.runs[0].status, tracker.runs[0].recorded_tags) == ("FINISHED", {STATE_TAG: "pruned"})
