"""The parent run: what one pipeline run tracks lies below one run in MLflow."""

from dataclasses import dataclass
from typing import Any

from adloom.tracking.mlflow_server import MlflowConnection

KFP_RUN = "kfp_run"  # tag of the parent: the id of the pipeline run
REASON = "reason"  # tag of the parent: why it was started


@dataclass(frozen=True)
class ParentRun:
    """
    Which run is the parent: what lies above the one that a server gave this task, else that of the pipeline run.

    A server that keeps runs in MLflow itself gives each task a run of its own below the pipeline's, and ends both.
    """

    run_id: str | None  # the id of a run in MLflow
    kfp_run: str | None  # the id of a pipeline run

    def __call__(self, server: MlflowConnection) -> str | None:
        """Return the parent's id, making the run when a pipeline run asks for the first time; None without any."""
        if self.run_id:
            above = server.client.get_run(self.run_id).data.tags.get("mlflow.parentRunId")
            return str(above or self.run_id)
        return self._own(server) if self.kfp_run else None

    def start(self, server: MlflowConnection, reason: str) -> None:
        """Create the parent run if it is wanted, tagged with the reason. Raises ExternalServiceError."""
        if self.run_id or self.kfp_run:
            with server.translate_errors(f"make the run of the pipeline run {self.kfp_run}"):
                server.client.set_tag(self(server), REASON, reason)

    def end(self, server: MlflowConnection, status: str) -> None:
        """End the parent as FINISHED, FAILED or KILLED unless a server owns it. Raises ExternalServiceError."""
        if self.kfp_run and not self.run_id:
            with server.translate_errors(f"end the run of the pipeline run {self.kfp_run} as {status}"):
                server.client.set_terminated(self._own(server), status)

    def _own(self, server: MlflowConnection) -> str:
        if not self._runs(server):
            tags = {KFP_RUN: str(self.kfp_run)}
            server.client.create_run(server.experiment_id(), run_name=f"pipeline {str(self.kfp_run)[:8]}", tags=tags)
        return str(self._runs(server)[0].info.run_id)

    def _runs(self, server: MlflowConnection) -> list[Any]:
        """Return the runs of the pipeline run, oldest first: of two that were made at once the same one is taken."""
        found = server.client.search_runs([server.experiment_id()], f"tags.{KFP_RUN} = '{self.kfp_run}'")
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
