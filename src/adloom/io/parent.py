"""The parent run: what one pipeline run tracks lies below one run in MLflow."""

from dataclasses import dataclass
from typing import Any

from adloom.io.mlflow import Server

KFP_RUN = "kfp_run"  # tag of the parent: the id of the pipeline run


@dataclass(frozen=True)
class Parent:
    """Which run is the parent: the one that a server gave this process, else that of the pipeline run, else none."""

    given: str | None  # the id of a run in MLflow
    kfp_run: str | None  # the id of a pipeline run

    def __call__(self, server: Server) -> str | None:
        """Return the parent's id, making the run when a pipeline run asks for the first time."""
        if self.given or not self.kfp_run:
            return self.given
        if not self._runs(server):
            tags = {KFP_RUN: self.kfp_run}
            server.client.create_run(server.experiment(), run_name=f"pipeline {self.kfp_run[:8]}", tags=tags)
        return str(self._runs(server)[0].info.run_id)

    def end(self, server: Server, status: str) -> None:
        """End the parent as FINISHED, FAILED or KILLED. Raises OutsideError when MLflow does not do so."""
        if self.given or self.kfp_run:
            with server.doing(f"end the run of {self.given or self.kfp_run} as {status}"):
                server.client.set_terminated(self(server), status)

    def _runs(self, server: Server) -> list[Any]:
        """Return the runs of the pipeline run, oldest first: of two that were made at once the same one is taken."""
        found = server.client.search_runs([server.experiment()], f"tags.{KFP_RUN} = '{self.kfp_run}'")
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
