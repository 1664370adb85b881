"""
Tracking in MLflow. It never stops a training: what cannot be sent is kept, in its order, and sent once MLflow answers.

What is still kept when a training ends is lost with the process. The artifact has the same params and points, and
registering it brings them into MLflow.
"""

import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from adloom.connection_errors import describe
from adloom.errors import DataError
from adloom.tracking.base import Run
from adloom.tracking.mlflow_server import FindParent, Provenance, Server, no_parent

ABSENT = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}  # MLflow's words for a run that is not there
AGAIN_SECONDS = 30  # after a failure, until MLflow is asked again
AGAIN_FACTOR = 10  # and so many times as long as the failure took: trying costs a tenth of a training at most
OPENED = "opened"  # tag: what a run was opened as, for a request that is made twice

logger = logging.getLogger(__name__)

Action = Callable[[Any], object]  # what to ask of an MlflowClient; asked twice, it is as if it was asked once


@dataclass
class MlflowRun:
    """A run in MLflow. `kept` is what MLflow has yet to be told, the first thing first."""

    server: Server
    parent: FindParent
    run_id: str | None = None
    kept: deque[Action] = field(default_factory=deque)
    away: bool = False  # MLflow did not answer when it was asked last
    refused: bool = False  # MLflow answered that it will not
    again: float = 0  # when to ask again, as time.monotonic says it

    def open(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Begin the run."""
        began, opened = _now(), uuid4().hex
        self._tell(lambda client: self._create(client, name, {**tags, OPENED: opened}, began))
        self._tell(lambda client: client.log_batch(self.run_id, params=_params(params)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers of one step or epoch."""
        measured = _metrics(values, step, _now())
        self._tell(lambda client: client.log_batch(self.run_id, metrics=measured))

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._tell(lambda client: client.log_batch(self.run_id, tags=_tags(values)))

    def artifact(self, path: Path) -> None:
        """Keep a file, as it is now."""
        name, content = path.name, path.read_bytes()
        self._tell(lambda client: self._log(client, name, content))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        ended = _now()
        self.kept.append(lambda client: client.set_terminated(self.run_id, status, ended))
        self.last()

    def last(self) -> None:
        """Try once more to send what is kept, and say what becomes of it when that fails."""
        if self.kept:
            self._send()
        if self.kept:
            later = "`adloom run`, or a pipeline's register, sends it from what was made here"
            logger.warning("MLflow at %s: still away; %s", self.server.name, later)

    @property
    def whole(self) -> bool:
        """Whether MLflow was told everything."""
        return not self.kept and not self.refused

    def _create(self, client: Any, name: str, tags: dict[str, str], began: int) -> None:
        experiment = self.server.experiment()
        if parent := self.parent(self.server):
            experiment = client.get_run(parent).info.experiment_id
            tags = {**tags, "mlflow.parentRunId": parent}
        self.run_id = client.create_run(experiment, began, tags, name).info.run_id
        for twin in client.search_runs([experiment], f"tags.{OPENED} = '{tags[OPENED]}'"):
            if twin.info.run_id != self.run_id:  # of a request that was heard, and its answer lost
                client.delete_run(twin.info.run_id)

    def _log(self, client: Any, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="adloom-") as place:
            (Path(place) / name).write_bytes(content)
            client.log_artifact(self.run_id, str(Path(place) / name))

    def _tell(self, action: Action) -> None:
        self.kept.append(action)
        if time.monotonic() >= self.again:
            self._send()

    def _send(self) -> None:
        began = time.monotonic()
        try:
            self.server.wait_for_lock()
            while self.kept:
                self._ask(self.kept[0])
                self.kept.popleft()
        except Exception as error:  # noqa: BLE001 - tracking must never cost a training
            self.again = time.monotonic() + max(AGAIN_SECONDS, AGAIN_FACTOR * (time.monotonic() - began))
            if not self.away:
                kept = "the training goes on, and what it tells is kept and sent when it answers"
                logger.warning("MLflow at %s: %s; %s", self.server.name, describe(error), kept)
            self.away = True
        else:
            self.again = 0
            if self.away:
                logger.warning("MLflow at %s: answers again; what was kept is sent", self.server.name)
            self.away = False

    def _ask(self, action: Action) -> None:
        """Raise whatever MLflow raises, unless it would answer the same for ever: that is said once, and let go."""
        try:
            action(self.server.client)
        except Exception as error:
            if getattr(error, "error_code", "") not in ABSENT:
                raise
            if not self.refused:
                logger.warning("MLflow at %s: %s; the training goes on", self.server.name, describe(error))
            self.refused = True


@dataclass
class MlflowTracker:
    """Tracks trainings as runs of the experiment named as the project."""

    uri: str
    project: str
    provenance: Provenance = dict
    parent: FindParent = no_parent
    latest: str | None = None

    @contextmanager
    def run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Open a run; it ends as failed when the block raises."""
        run = MlflowRun(Server(self.uri, self.project), self.parent)
        run.open(name, params, {**self.provenance(), **tags})
        status = "KILLED"
        try:
            yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            run.end(status)
            self.latest = run.run_id if run.whole else None

    @contextmanager
    def whole(self, name: str) -> Iterator[Run]:
        """Open the parent, which whoever made it will end; where there is none, a run of this name."""
        server = Server(self.uri, self.project)
        with server.doing("find the run of the whole way"):
            self.latest = self.parent(server)
        if self.latest:
            below = MlflowRun(server, no_parent, self.latest)
            yield below
            below.last()
            self.latest = below.run_id if below.whole else None
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


def _now() -> int:
    return int(time.time() * 1000)  # milliseconds, as MLflow counts


def _metrics(values: Mapping[str, float], step: int, now: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _params(values: Mapping[str, object]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, str(value)) for name, value in values.items()]


def _tags(values: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]
