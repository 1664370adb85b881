"""Studies of a toy stage with a known best point: what is found, pruned, continued and reported."""

from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState
from tests.conftest import MakeTable
from tests.support import toy_training
from tests.support.toy_training import BEST_RATE, REFUSED_RATE

from adloom.config import params
from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.tracking.memory import MemoryTracker
from adloom.tuning import study
from adloom.tuning.spaces import SearchSpace
from adloom.tuning.study import Budget, TuneTask

ROOT = Path(__file__).parents[3]


@pytest.fixture
def task(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> TuneTask:
    return toy_training.define_task(make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]})), monkeypatch)


def tune(task: TuneTask, trials: int, context: StageContext, minutes: float | None = None) -> optuna.Study:
    opened = study.open_study(task, task.find_journal(context.home))
    for _ in study.run_trials(opened, task, Budget(trials, minutes), context):
        pass
    return opened


def test_a_study_finds_the_best_params_and_prunes_hopeless_trials(task: TuneTask, context: StageContext) -> None:
    opened = tune(task, 30, context)
    best = study.find_front(opened)[-1]
    assert (best.number, best.value) == (opened.best_trial.number, opened.best_value)
    assert abs(best.params["learning_rate"] / BEST_RATE - 1) < 0.5
    assert best.params["batch_size"] == 4
    pruned = opened.get_trials(states=(TrialState.PRUNED,))
    assert pruned
    assert min(trial.intermediate_values[1] for trial in pruned) > opened.best_trial.intermediate_values[1]
    assert list(study.measure_importance(opened, seed=1)) == ["learning_rate", "batch_size"]


def test_the_first_trial_has_the_params_of_the_stage(task: TuneTask, context: StageContext) -> None:
    first = tune(task, 1, context).trials[0]
    assert first.params == {"learning_rate": 0.3, "batch_size": 8}
    assert first.value == pytest.approx(1.4771 + 0.01 + 1 / 4, abs=1e-4)  # log10(0.3 / 0.01)


def test_a_value_outside_the_space_is_replaced(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, context: StageContext
) -> None:
    table = make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]}))
    task = toy_training.define_task(table, monkeypatch, batch_size=16, learning_rate=0.02)
    first = tune(task, 1, context).trials[0]
    assert (first.params["learning_rate"], first.params["batch_size"] in (4, 8)) == (0.02, True)


def test_an_interrupted_study_repeats_the_trial_and_counts_it_once(task: TuneTask, context: StageContext) -> None:
    toy_training.interrupt_at.append(3)
    with pytest.raises(KeyboardInterrupt):
        tune(task, 5, context)
    opened = tune(task, 5, context)
    assert len(study.list_finished(opened)) == 5
    assert toy_training.trained[2] == toy_training.trained[3]
    assert len(toy_training.trained) == 6
    tune(task, 5, context)
    assert len(toy_training.trained) == 6


def test_refused_params_are_a_failed_trial(
    task: TuneTask, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    opened = study.open_study(task, task.find_journal(context.home))
    study.run_trial(opened, task, context)
    opened.enqueue_trial({"learning_rate": 0.9, "batch_size": 4})
    assert study.run_trial(opened, task, context).state == TrialState.FAIL
    assert "trial 1: train_toy: loss is not finite" in caplog.text


def test_an_error_before_any_result_ends_the_study(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, context: StageContext
) -> None:
    table = make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]}))
    task = toy_training.define_task(table, monkeypatch, learning_rate=REFUSED_RATE + 0.1)
    with pytest.raises(ConfigError, match="loss is not finite"):
        tune(task, 5, context)


def test_a_stage_without_the_objective_is_named(task: TuneTask, context: StageContext) -> None:
    other = TuneTask(task.stage, task.params, SearchSpace(task.space.params, "accuracy"), task.inputs)
    with pytest.raises(ConfigError, match="train_toy: logs no accuracy; is there a row in split validation"):
        tune(other, 2, context)


def test_no_trial_starts_after_the_time(task: TuneTask, context: StageContext) -> None:
    assert tune(task, 5, context, minutes=1e-9).trials[0].state == TrialState.WAITING


def test_every_trial_is_a_run_below_the_study(task: TuneTask, context: StageContext) -> None:
    assert isinstance(context.tracker, MemoryTracker)
    tune(task, 2, context)
    parent, *children = context.tracker.runs
    assert (parent.name, parent.parent) == ("tune train_toy", None)
    assert [(run.name, run.parent, run.status) for run in children] == [
        (f"train_toy trial {number}", "tune train_toy", "FINISHED") for number in range(2)
    ]
    lowest = min(run.recorded["validation_loss"][-1][1] for run in children)
    assert parent.recorded["best_validation_loss"] == [(2, lowest)]


def test_the_front_has_the_trials_that_no_other_beats() -> None:
    opened = optuna.create_study()
    points = [(1.0, 0.5), (2.0, 0.7), (3.0, 0.4), (3.0, 0.3), (9.0, 0.3)]  # CPU seconds, objective
    for seconds, value in points:
        opened.add_trial(optuna.create_trial(value=value, user_attrs={study.SECONDS: seconds}))

    def point(trial: FrozenTrial) -> tuple[float, float | None]:
        return trial.user_attrs[study.SECONDS], trial.value

    assert [point(trial) for trial in study.find_front(opened)] == [(1.0, 0.5), (3.0, 0.3)]


def test_stages_that_cannot_be_tuned_are_refused() -> None:
    loaded = params.load(ROOT / "params.yaml")
    with pytest.raises(ConfigError, match="segment: has no metric on split validation to tune by; tune train-"):
        study.define_task("segment", loaded)
    two = loaded.model_copy(update={"train_cnn": loaded.train_cnn.model_copy(update={"devices": 2})})
    with pytest.raises(ConfigError, match="train_cnn: 2 processes"):
        study.define_task("train_cnn", two)
    assert study.define_task("train_cnn", loaded, epochs=1).params.epochs == 1
