"""Tracking in MLflow. A run that cannot be recorded never stops a training; it is lost with one warning."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adloom.errors import DataError
from adloom.io.mlflow import Provenance, Server, cause
from adloom.io.tracking import Run

ABSENT = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}  # MLflow's words for a run that is not there

logger = logging.getLogger(__name__)


def no_parent(server: Server) -> None:
    """Return that runs stand alone."""


@dataclass
class MlflowRun:
    """A run in MLflow. What cannot be recorded is lost with one warning; the training goes on."""

    server: Server
    parent: Callable[[Server], str | None]
    run_id: str | None = None
    lost: bool = False

    def open(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Begin the run."""
        self._attempt(lambda client: self._create(client, name, params, tags))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers of one step or epoch."""
        self._attempt(lambda client: client.log_batch(self.run_id, metrics=_metrics(values, step)))

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._attempt(lambda client: client.log_batch(self.run_id, tags=_tags(values)))

    def artifact(self, path: Path) -> None:
        """Keep a file."""
        self._attempt(lambda client: client.log_artifact(self.run_id, str(path)))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._attempt(lambda client: client.set_terminated(self.run_id, status))

    def _create(self, client: Any, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        experiment = self.server.experiment()
        if parent := self.parent(self.server):
            experiment = client.get_run(parent).info.experiment_id
            tags = {**tags, "mlflow.parentRunId": parent}
        self.run_id = client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id
        client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def _attempt(self, action: Callable[[Any], None]) -> None:
        if self.lost:
            return
        try:
            self.server.wait_for_lock()
            action(self.server.client)
        except Exception as error:  # noqa: BLE001 - tracking must never cost a training
            self.lost = True
            logger.warning("MLflow at %s: %s; the training goes on unrecorded", self.server.name, cause(error))


@dataclass
class MlflowTracker:
    """Tracks trainings as runs of the experiment named as the project."""

    uri: str
    project: str
    provenance: Provenance = dict
    parent: Callable[[Server], str | None] = no_parent
    latest: str | None = None

    @contextmanager
    def run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Open a run; it ends as failed when the block raises."""
        run = MlflowRun(Server(self.uri, self.project), self.parent)
        run.open(name, params, {**self.provenance(), **tags})
        self.latest = run.run_id
        try:
            yield run
        except Exception:
            run.end("FAILED")
            raise
        except BaseException:
            run.end("KILLED")
            raise
        run.end("FINISHED")

    @contextmanager
    def whole(self, name: str) -> Iterator[Run]:
        """Open the parent, which whoever made it will end; where there is none, a run of this name."""
        server = Server(self.uri, self.project)
        with server.doing("find the run of the whole way"):
            self.latest = self.parent(server)
        if self.latest:
            yield MlflowRun(server, no_parent, self.latest)
            return
        with self.run(name, {}, {}) as run:
            yield run

    def within(self) -> bool:
        """Return whether there is a parent."""
        server = Server(self.uri, self.project)
        with server.doing("find the run of the whole way"):
            return self.parent(server) is not None

    def find(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag."""
        server = Server(self.uri, self.project)
        with server.doing(f"look for the run with {tag} {value}"):
            found = server.client.search_runs([server.experiment()], f"tags.`{tag}` = '{value}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def read(self, run_id: str, name: str) -> bytes:
        """Return a file that a run kept."""
        server = Server(self.uri, self.project)
        if server.database and not server.database.is_file():
            raise DataError(f"run {run_id}: there is no MLflow at {server.name}; MLFLOW_TRACKING_URI says where it is")
        with server.doing(f"read {name} of run {run_id}"), tempfile.TemporaryDirectory(prefix="adloom-") as place:
            try:
                kept = {file.path for file in server.client.list_artifacts(run_id)}
            except Exception as error:
                if getattr(error, "error_code", "") in ABSENT:
                    raise DataError(f"run {run_id}: no such run in MLflow at {server.name}") from None
                raise
            if name not in kept:
                raise DataError(f"run {run_id}: kept no {name}; expected a run of the whole way, not of one training")
            return Path(server.client.download_artifacts(run_id, name, place)).read_bytes()


def _metrics(values: Mapping[str, float], step: int) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)  # milliseconds
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _tags(values: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]
