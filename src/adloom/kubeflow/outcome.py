"""How a run of a pipeline ended, for MLflow and the webhook, told by its last task while the run goes on."""

from dataclasses import dataclass, replace
from typing import Literal

from adloom.errors import AdloomError
from adloom.kubeflow import plan
from adloom.kubeflow.client.base import FAILED, PipelineRun, RunClient
from adloom.kubeflow.progress import describe_failure

SUCCESS = frozenset({"SUCCEEDED", "COMPLETE", "CACHED"})
CANCELED = frozenset({"CANCELED", "CANCELLED", "CANCELING"})
LONGEST = 500  # characters of a message


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in MLflow's word, and why."""

    status: Literal["FINISHED", "FAILED", "KILLED"]
    message: str


def find_outcome(run_id: str, state: str, message: str | None, runs: RunClient) -> Outcome:
    """
    Return how a run ended whose exit handler was told this state and message.

    KFP tells RUNNING when a driver died or the run was terminated, so every word but those of success is a failure. The
    server is asked which task failed and whether the run was terminated.
    """
    if state in SUCCESS:
        return Outcome("FINISHED", "the run succeeded")
    try:
        run = runs.get_run(run_id)
        tasks = plan.label_tasks(dict(runs.get_spec(run)))
    except AdloomError as error:
        why = message or f"the run did not succeed; Kubeflow was not asked which task failed: {error}"
        return Outcome("KILLED" if state in CANCELED else "FAILED", why[:LONGEST])
    if {state, run.state} & CANCELED:
        return Outcome("KILLED", message or "the run was terminated")
    return Outcome("FAILED", _told(run, tasks, message)[:LONGEST])


def _told(run: PipelineRun, tasks: dict[str, str], message: str | None) -> str:
    return describe_failure(replace(run, state=FAILED, message=run.message or message or ""), tasks)
