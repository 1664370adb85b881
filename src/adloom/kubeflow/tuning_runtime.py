"""The code that the tuning pipeline's components run in their pods."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adloom.config import params as parameters
from adloom.config.params import Params, Tune
from adloom.config.settings import Settings
from adloom.context import build_context
from adloom.kubeflow.component_runtime import Artifact, Artifacts
from adloom.tuning import parallel_trials
from adloom.tuning.parallel_trials import TrialResult
from adloom.tuning.study import TuneTask, define_task
from adloom.tuning.summary import format_summary, summarize


def propose_trials(tune: str, params: str) -> list[str]:
    """Return the params of each trial as JSON; `tune` and `params` are JSON, the block and all of params.yaml."""
    block = parameters.parse(Tune, tune)
    return [trial.to_json() for trial in parallel_trials.propose_trials(_define_task(block, params), block.trials)]


def run_trial(project: str, tune: str, params: str, trial: str, tables: Artifacts) -> str:
    """Run a proposed trial on the prepared tables; return its result as JSON."""
    task = _define_task(parameters.parse(Tune, tune), params)
    task = replace(task, inputs={name: tables[name].path for name in task.inputs})
    context = build_context(Settings(), project)
    return parallel_trials.run_trial(task, TrialResult.from_json(trial), context).to_json()


def summarize_trials(tune: str, params: str, trials: Sequence[str], page: Artifact) -> None:
    """Write what the trials show to a page, and print it."""
    task = _define_task(parameters.parse(Tune, tune), params)
    study = parallel_trials.collect_study(task, [TrialResult.from_json(trial) for trial in trials])
    lines = format_summary(task, summarize(study, task))
    print("\n".join(lines))
    Path(page.path).write_text("\n".join(["```", *lines, "```", ""]), encoding="utf-8")


def _define_task(block: Tune, params: str) -> TuneTask:
    return define_task(block.stage, parameters.parse(Params, params), block.epochs)
