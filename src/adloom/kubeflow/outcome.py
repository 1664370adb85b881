"""The outcome of a run, for MLflow and the webhook; the last task computes it while the run still goes on."""

from dataclasses import dataclass, replace
from typing import Literal

from adloom.errors import AdloomError
from adloom.kubeflow import plan
from adloom.kubeflow.client.base import FAILED, RunClient
from adloom.kubeflow.progress import describe_failure

SUCCESS = frozenset({"SUCCEEDED", "COMPLETE", "CACHED"})
CANCELED = frozenset({"CANCELED", "CANCELLED", "CANCELING"})
MAX_MESSAGE = 500  # characters


@dataclass(frozen=True)
class Outcome:
    """A run's final status as MLflow names it, and the reason."""

    status: Literal["FINISHED", "FAILED", "KILLED"]
    message: str


def find_outcome(run_id: str, state: str, message: str | None, runs: RunClient) -> Outcome:
    """
    Return a run's outcome from the state and message that KFP passes to the exit handler.

    KFP passes RUNNING if a driver died or the run was terminated, so every state except success is a failure. The
    server knows which task failed and whether the run was terminated.
    """
    if state in SUCCESS:
        return Outcome("FINISHED", "the run succeeded")
    try:
        run = runs.get_run(run_id)
        tasks = plan.label_tasks(dict(runs.get_spec(run)))
    except AdloomError as error:
        reason = message or f"the run did not succeed; Kubeflow was not asked which task failed: {error}"
        return Outcome("KILLED" if state in CANCELED else "FAILED", reason[:MAX_MESSAGE])
    if {state, run.state} & CANCELED:
        return Outcome("KILLED", message or "the run was terminated")
    failed = replace(run, state=FAILED, message=run.message or message or "")
    return Outcome("FAILED", describe_failure(failed, tasks)[:MAX_MESSAGE])
