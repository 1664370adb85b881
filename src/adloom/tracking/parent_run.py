"""The parent in MLflow of all runs of a pipeline run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adloom.tracking.mlflow_server import MlflowConnection

KFP_RUN = "kfp_run"  # tag of the parent: the id of the pipeline run
REASON = "reason"  # tag of the parent: why it was started

FindParent = Callable[[MlflowConnection], str | None]  # returns the id of the parent run, None without one


def no_parent(server: MlflowConnection) -> None:
    """Return None: runs have no parent."""


@dataclass(frozen=True)
class ParentRun:
    """The run above the task's own run, which a server owns; else one for the pipeline run."""

    task_run: str | None  # id of the task's own run in MLflow
    kfp_run: str | None  # id of the pipeline run

    def __call__(self, server: MlflowConnection) -> str | None:
        """Return the parent's id, created on the first call; None without a pipeline run."""
        if self.task_run:
            parent = server.client.get_run(self.task_run).data.tags.get("mlflow.parentRunId")
            return str(parent or self.task_run)
        return self._find_or_create(server) if self.kfp_run else None

    def start(self, server: MlflowConnection, reason: str) -> None:
        """Tag the parent with the reason. Raises ExternalServiceError."""
        if self.task_run or self.kfp_run:
            server.call(
                f"make the run of the pipeline run {self.kfp_run}",
                lambda: server.client.set_tag(self(server), REASON, reason),
            )

    def end(self, server: MlflowConnection, status: str) -> None:
        """End the parent, unless the server owns it. Raises ExternalServiceError."""
        if self.kfp_run and not self.task_run:
            server.call(
                f"end the run of the pipeline run {self.kfp_run} as {status}",
                lambda: server.client.set_terminated(self._find_or_create(server), status),
            )

    def _find_or_create(self, server: MlflowConnection) -> str:
        if not self._search(server):
            tags = {KFP_RUN: str(self.kfp_run)}
            server.client.create_run(server.experiment_id(), run_name=f"pipeline {str(self.kfp_run)[:8]}", tags=tags)
        return str(self._search(server)[0].info.run_id)

    def _search(self, server: MlflowConnection) -> list[Any]:
        """Return the runs of the pipeline run, oldest first."""
        runs = server.client.search_runs([server.experiment_id()], f"tags.{KFP_RUN} = '{self.kfp_run}'")
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
