"""Trials that run apart: equal proposals, failures, and the study that collects them."""

import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support import toy_training
from tests.support.toy_training import REFUSED_RATE

from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.tuning import parallel_trials, study
from adloom.tuning.parallel_trials import TrialResult
from adloom.tuning.study import TuneTask


@pytest.fixture
def task(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> TuneTask:
    return toy_training.define_task(make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]})), monkeypatch)


def test_equal_tasks_get_equal_trials_the_first_with_the_stages_own_params(task: TuneTask) -> None:
    proposed = parallel_trials.propose_trials(task, 9)
    assert proposed[0].params == {"learning_rate": 0.3, "batch_size": 8}
    assert parallel_trials.propose_trials(task, 12)[:9] == proposed
    assert len({trial.params["learning_rate"] for trial in proposed}) == 9


def test_trials_that_ran_apart_are_one_study(task: TuneTask, context: StageContext) -> None:
    proposed = parallel_trials.propose_trials(task, 4)
    results = [parallel_trials.run_trial(task, trial, context) for trial in proposed]
    results = [TrialResult.from_json(result.to_json()) for result in results]
    collected = parallel_trials.collect_study(task, results)
    assert [trial.params for trial in collected.trials] == [trial.params for trial in proposed]
    best = min(results, key=lambda result: result.value or 0)
    assert study.find_front(collected)[-1].number == best.number


def test_params_that_the_stage_refuses_fail_their_trial_alone(task: TuneTask, context: StageContext) -> None:
    refused = {"learning_rate": REFUSED_RATE + 0.1, "batch_size": 8}
    failed = parallel_trials.run_trial(task, TrialResult(3, refused), context)
    assert (failed.number, failed.value) == (3, None)
    with pytest.raises(ConfigError):
        parallel_trials.run_trial(task, TrialResult(0, refused), context)
    kept = TrialResult(0, {"learning_rate": 0.3, "batch_size": 8}, 0.5, 1.0)
    assert len(study.find_front(parallel_trials.collect_study(task, [kept, failed]))) == 1
