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

from adloom.connection_errors import describe_error
from adloom.errors import DataError
from adloom.tracking.base import Run
from adloom.tracking.mlflow_server import FindParent, MlflowConnection, Provenance, no_parent

NOT_FOUND_CODES = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}  # MLflow's words for a run that is not there
RETRY_SECONDS = 30  # after a failure, until MLflow is asked again
RETRY_FACTOR = 10  # and so many times as long as the failure took: trying costs a tenth of a training at most
OPENED_TAG = "opened"  # tag: what a run was opened as, for a request that is made twice

logger = logging.getLogger(__name__)

Action = Callable[[Any], object]  # what to ask of an MlflowClient; asked twice, it is as if it was asked once


@dataclass
class MlflowRun:
    """A run in MLflow. `kept` is what MLflow has yet to be told, the first thing first."""

    server: MlflowConnection
    parent: FindParent
    run_id: str | None = None
    pending: deque[Action] = field(default_factory=deque)
    is_away: bool = False  # MLflow did not answer when it was asked last
    is_refused: bool = False  # MLflow answered that it will not
    retry_at: float = 0  # when to ask again, as time.monotonic says it

    def open(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Begin the run."""
        began, opened = _now(), uuid4().hex
        self._submit(lambda client: self._create(client, name, {**tags, OPENED_TAG: opened}, began))
        self._submit(lambda client: client.log_batch(self.run_id, params=_params(params)))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers of one step or epoch."""
        measured = _metrics(values, step, _now())
        self._submit(lambda client: client.log_batch(self.run_id, metrics=measured))

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._submit(lambda client: client.log_batch(self.run_id, tags=_tags(values)))

    def log_artifact(self, path: Path) -> None:
        """Keep a file, as it is now."""
        name, content = path.name, path.read_bytes()
        self._submit(lambda client: self._log(client, name, content))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        ended = _now()
        self.pending.append(lambda client: client.set_terminated(self.run_id, status, ended))
        self.finish()

    def finish(self) -> None:
        """Try once more to send what is kept, and say what becomes of it when that fails."""
        if self.pending:
            self._flush()
        if self.pending:
            later = "`adloom run`, or a pipeline's register, sends it from what was made here"
            logger.warning("MLflow at %s: still away; %s", self.server.name, later)

    @property
    def is_complete(self) -> bool:
        """Whether MLflow was told everything."""
        return not self.pending and not self.is_refused

    def _create(self, client: Any, name: str, tags: dict[str, str], began: int) -> None:
        experiment = self.server.experiment_id()
        if parent := self.parent(self.server):
            experiment = client.get_run(parent).info.experiment_id
            tags = {**tags, "mlflow.parentRunId": parent}
        self.run_id = client.create_run(experiment, began, tags, name).info.run_id
        for twin in client.search_runs([experiment], f"tags.{OPENED_TAG} = '{tags[OPENED_TAG]}'"):
            if twin.info.run_id != self.run_id:  # of a request that was heard, and its answer lost
                client.delete_run(twin.info.run_id)

    def _log(self, client: Any, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="adloom-") as place:
            (Path(place) / name).write_bytes(content)
            client.log_artifact(self.run_id, str(Path(place) / name))

    def _submit(self, action: Action) -> None:
        self.pending.append(action)
        if time.monotonic() >= self.retry_at:
            self._flush()

    def _flush(self) -> None:
        began = time.monotonic()
        try:
            self.server.assert_unlocked()
            while self.pending:
                self._call(self.pending[0])
                self.pending.popleft()
        except Exception as error:  # noqa: BLE001 - tracking must never cost a training
            self.retry_at = time.monotonic() + max(RETRY_SECONDS, RETRY_FACTOR * (time.monotonic() - began))
            if not self.is_away:
                kept = "the training goes on, and what it tells is kept and sent when it answers"
                logger.warning("MLflow at %s: %s; %s", self.server.name, describe_error(error), kept)
            self.is_away = True
        else:
            self.retry_at = 0
            if self.is_away:
                logger.warning("MLflow at %s: answers again; what was kept is sent", self.server.name)
            self.is_away = False

    def _call(self, action: Action) -> None:
        """Raise whatever MLflow raises, unless it would answer the same for ever: that is said once, and let go."""
        try:
            action(self.server.client)
        except Exception as error:
            if getattr(error, "error_code", "") not in NOT_FOUND_CODES:
                raise
            if not self.is_refused:
                logger.warning("MLflow at %s: %s; the training goes on", self.server.name, describe_error(error))
            self.is_refused = True


@dataclass
class MlflowTracker:
    """Tracks trainings as runs of the experiment named as the project."""

    uri: str
    project: str
    provenance: Provenance = dict
    parent: FindParent = no_parent
    last_run_id: str | None = None

    @contextmanager
    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Open a run; it ends as failed when the block raises."""
        run = MlflowRun(MlflowConnection(self.uri, self.project), self.parent)
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
            self.last_run_id = run.run_id if run.is_complete else None

    @contextmanager
    def parent_run(self, name: str) -> Iterator[Run]:
        """Open the parent, which whoever made it will end; where there is none, a run of this name."""
        server = MlflowConnection(self.uri, self.project)
        with server.translate_errors("find the run of the whole way"):
            self.last_run_id = self.parent(server)
        if self.last_run_id:
            below = MlflowRun(server, no_parent, self.last_run_id)
            yield below
            below.finish()
            self.last_run_id = below.run_id if below.is_complete else None
            return
        with self.start_run(name, {}, {}) as run:
            yield run

    def has_parent(self) -> bool:
        """Return whether there is a parent."""
        server = MlflowConnection(self.uri, self.project)
        with server.translate_errors("find the run of the whole way"):
            return self.parent(server) is not None

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag."""
        server = MlflowConnection(self.uri, self.project)
        with server.translate_errors(f"look for the run with {tag} {value}"):
            found = server.client.search_runs([server.experiment_id()], f"tags.`{tag}` = '{value}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file that a run kept."""
        server = MlflowConnection(self.uri, self.project)
        if server.database and not server.database.is_file():
            raise DataError(f"run {run_id}: there is no MLflow at {server.name}; MLFLOW_TRACKING_URI says where it is")
        with (
            server.translate_errors(f"read {name} of run {run_id}"),
            tempfile.TemporaryDirectory(prefix="adloom-") as place,
        ):
            try:
                kept = {file.path for file in server.client.list_artifacts(run_id)}
            except Exception as error:
                if getattr(error, "error_code", "") in NOT_FOUND_CODES:
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
