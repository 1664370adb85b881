"""
Trials that do not learn from each other, so that pods can run them at the same time.

Their params are the stage's own, then random ones (Bergstra & Bengio 2012).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from adloom.context import StageContext
from adloom.tuning import study as studies
from adloom.tuning.study import SECONDS, TuneTask


@dataclass(frozen=True)
class TrialResult:
    """A trial: its number and params, and once it has run, its objective (None if it failed) and CPU seconds."""

    number: int
    params: dict[str, Any]
    value: float | None = None
    seconds: float | None = None

    def to_json(self) -> str:
        """Return the trial as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "TrialResult":
        """Return the trial of a JSON text."""
        return TrialResult(**json.loads(text))


def propose_trials(task: TuneTask, count: int) -> list[TrialResult]:
    """Return trials to run; equal tasks get equal ones."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=RandomSampler(seed=task.params.seed))
    study.enqueue_trial(task.own_values())
    return [TrialResult(number, study.ask(dict(task.space.params)).params) for number in range(count)]


def run_trial(task: TuneTask, proposed: TrialResult, context: StageContext) -> TrialResult:
    """
    Run a proposed trial; params that the stage refuses make it a failed one.

    Raises the stage's error in the first trial, which has the stage's own params.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=task.stage, pruner=optuna.pruners.NopPruner())
    study.add_trials([create_trial(value=float("inf"))] * proposed.number)  # so that the trial has its number
    study.enqueue_trial(proposed.params)
    trial = studies.run_trial(study, task, context)
    return TrialResult(proposed.number, trial.params, trial.value, trial.user_attrs[SECONDS])


def collect_study(task: TuneTask, results: Sequence[TrialResult]) -> optuna.Study:
    """Return a study of trials that ran elsewhere."""
    study = optuna.create_study(study_name=task.stage)
    for result in results:
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if result.value is None else TrialState.COMPLETE,
                value=result.value,
                params=result.params,
                distributions=dict(task.space.params),
                user_attrs={SECONDS: result.seconds},
            )
        )
    return study
