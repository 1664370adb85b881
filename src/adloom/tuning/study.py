"""
Studies: trials of one stage on one table, kept in a journal, so that the same command continues them.

A trial is the stage itself with other params; its artifact is discarded. Optuna suggests the params (TPE) and prunes a
trial whose objective is above the median of the others at the same epoch.
"""

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from adloom.config.params import Params
from adloom.config.training import Training
from adloom.context import StageContext
from adloom.errors import ConfigError, UserError
from adloom.stages import runner
from adloom.storage import manifest
from adloom.tuning.spaces import SearchSpace, find_space
from adloom.tuning.trial_tracker import TrialTracker

FULL_TRIALS = 4  # before the first is pruned
SECONDS = "seconds"  # attribute of a trial: the CPU time of its training

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """When a study ends: at this number of trials, those of earlier calls included, or after these minutes."""

    trials: int
    minutes: float | None = None


@dataclass(frozen=True)
class TuneTask:
    """A stage, its own params, and the paths of its inputs by name."""

    stage: str
    params: Training
    space: SearchSpace
    inputs: Mapping[str, str]

    def find_journal(self, home: Path) -> Path:
        """Return the journal of this stage, params and data. Raises ArtifactError when an input is missing."""
        digests = [manifest.digest(Path(path)) for path in self.inputs.values()]
        key = hashlib.sha256(" ".join([*digests, self.params.digest()]).encode()).hexdigest()[:16]
        return home / "tune" / f"{self.stage}-{key}.journal"

    def own_values(self) -> dict[str, Any]:
        """Return the searched params as they are, if the space has their values."""
        values = {name: getattr(self.params, name) for name in self.space.params}
        return {name: value for name, value in values.items() if _contains(self.space.params[name], value)}


def define_task(stage: str, params: Params, epochs: int | None = None) -> TuneTask:
    """Return the task of a stage with the default paths. Raises ConfigError for a stage that cannot be tuned."""
    space, block = find_space(stage), params.trainings[stage]
    if block.processes > 1:
        raise ConfigError(f"{stage}: {block.processes} processes, but a trial runs in one; set nodes and devices to 1")
    inputs = fields(import_module(f"adloom.stages.{stage}").Inputs)
    paths = {field.name: str(field.default) for field in inputs}
    return TuneTask(stage, block.model_copy(update={"epochs": epochs} if epochs else {}), space, paths)


def open_study(task: TuneTask, journal: Path) -> optuna.Study:
    """Open the study in a journal, or start it with the stage's own params; repeat a trial that was interrupted."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=task.stage,
        pruner=MedianPruner(n_startup_trials=FULL_TRIALS),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(task.own_values())
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    study.sampler = TPESampler(seed=task.params.seed + len(study.trials))
    return study


def run_trials(study: optuna.Study, task: TuneTask, budget: Budget, context: StageContext) -> Iterator[FrozenTrial]:
    """Run trials until the budget is spent, each as a child of one run in MLflow; yield each."""
    until = time.monotonic() + 60 * (budget.minutes or float("inf"))
    with context.tracker.start_run(f"tune {task.stage}", task.params.model_dump(mode="json"), {}) as run:
        children = replace(context, tracker=context.tracker.child_tracker(run), progress=False)
        while len(list_finished(study)) < budget.trials and time.monotonic() < until:
            yield run_trial(study, task, children)
        if best := list_complete(study):
            run.log_metrics({f"best_{task.space.objective}": float(min(best, key=_value).value or 0)}, len(best))


def run_trial(study: optuna.Study, task: TuneTask, context: StageContext) -> FrozenTrial:
    """Run one trial; params that the stage refuses, or a loss that is not finite, make it a failed one."""
    trial, began = study.ask(dict(task.space.params)), time.process_time()
    own = replace(context, tracker=TrialTracker(context.tracker, trial, task.space.objective))
    state = TrialState.FAIL
    try:
        _train(task, trial.params, own)
        state = TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except UserError as error:
        if not list_complete(study):  # other params would not mend it
            raise
        log.warning("trial %d: %s", trial.number, error)
    trial.set_user_attr(SECONDS, time.process_time() - began)
    measured = study.trials[trial.number].intermediate_values.values()
    if state == TrialState.COMPLETE and not measured:
        raise ConfigError(f"{task.stage}: logs no {task.space.objective}; is there a row in split validation?")
    return study.tell(trial, min(measured) if state == TrialState.COMPLETE else None, state)


def list_finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ended, complete, pruned or failed by their params."""
    return [trial for trial in study.trials if trial.state.is_finished() and SECONDS in trial.user_attrs]


def list_complete(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials with a value."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def measure_importance(study: optuna.Study, seed: int) -> dict[str, float]:
    """Return each param's share of the variance of the objective (fANOVA, Hutter et al. 2014), the largest first."""
    if len({tuple(trial.params.values()) for trial in list_complete(study)}) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))


def find_front(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that no other beats in both objective and CPU seconds, the fastest first."""
    front: list[FrozenTrial] = []
    for trial in sorted(list_complete(study), key=lambda each: (each.user_attrs[SECONDS], _value(each))):
        if not front or _value(trial) < _value(front[-1]):
            front.append(trial)
    return front


def _train(task: TuneTask, values: dict[str, Any], context: StageContext) -> None:
    block = task.params.model_copy(update=values)
    with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
        output = {task.stage.removeprefix("train_"): str(Path(folder) / "model")}
        runner.run_stage(task.stage.replace("_", "-"), {**task.inputs, **output}, block, context)


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return bool(distribution.low <= value <= distribution.high)  # type: ignore[attr-defined]


def _value(trial: FrozenTrial) -> float:
    return float("inf") if trial.value is None else trial.value
