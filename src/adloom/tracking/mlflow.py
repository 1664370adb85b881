"""
Tracking in MLflow. It never stops a training: calls without an answer are queued and repeated in order.

Registering the artifact sends what is still queued at the end (`backfill`).
"""

import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from adloom.deadline import start_call
from adloom.errors import DataError, UnavailableError
from adloom.tracking.base import Run
from adloom.tracking.mlflow_server import MlflowConnection, Provenance, prepare_environment
from adloom.tracking.parent_run import FindParent, no_parent

NOT_FOUND_CODES = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}
SEND_SECONDS = 60.0  # for all queued calls together; MLflow's own timeout restarts with each byte
RETRY_SECONDS = 30  # pause after a failure
RETRY_FACTOR = 10  # or this many times the failed attempt's duration: attempts cost a tenth of a training at most
OPENED_TAG = "opened"  # names the request that created a run, so that a repeated request leaves one run

logger = logging.getLogger(__name__)

Call = Callable[[Any], object]  # a call of an MlflowClient that may be repeated


@dataclass
class MlflowRun:
    """A run in MLflow."""

    server: MlflowConnection
    find_parent: FindParent
    run_id: str | None = None
    pending: deque[Call] = field(default_factory=deque)  # calls that MLflow has not answered, in order
    is_away: bool = False  # the last call was not answered
    is_refused: bool = False  # MLflow rejected a call for good
    retry_at: float = 0  # time.monotonic() of the next attempt
    _sending: "Future[object] | None" = None  # the first pending call, when it outlasted its deadline

    def open(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Start the run."""
        prepare_environment()
        from mlflow.entities import Param

        began, opened = _now(), uuid4().hex
        logged = [Param(key, str(value)) for key, value in params.items()]
        self._submit(lambda client: self._create(client, name, {**tags, OPENED_TAG: opened}, began))
        self._submit(lambda client: client.log_batch(self.run_id, params=logged))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one step or epoch."""
        from mlflow.entities import Metric

        now = _now()
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self._submit(lambda client: client.log_batch(self.run_id, metrics=metrics))

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in values.items()]
        self._submit(lambda client: client.log_batch(self.run_id, tags=tags))

    def log_artifact(self, path: Path) -> None:
        """Store a file with its present content."""
        name, content = path.name, path.read_bytes()
        self._submit(lambda client: self._upload(client, name, content))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        ended = _now()
        self.pending.append(lambda client: client.set_terminated(self.run_id, status, ended))
        self.finish()

    def finish(self) -> None:
        """Send the pending calls a last time, and log a failure."""
        if self.pending:
            self._flush()
        if self.pending:
            advice = "`adloom run`, or register in a pipeline, sends the rest from the artifact"
            logger.warning("MLflow at %s: still away; %s", self.server.name, advice)

    @property
    def is_complete(self) -> bool:
        """Whether MLflow has everything."""
        return not self.pending and not self.is_refused

    def _create(self, client: Any, name: str, tags: dict[str, str], began: int) -> None:
        experiment = self.server.experiment_id()
        if parent := self.find_parent(self.server):
            experiment = client.get_run(parent).info.experiment_id
            tags = {**tags, "mlflow.parentRunId": parent}
        self.run_id = client.create_run(experiment, began, tags, name).info.run_id
        for twin in client.search_runs([experiment], f"tags.{OPENED_TAG} = '{tags[OPENED_TAG]}'"):
            if twin.info.run_id != self.run_id:  # created by an earlier request without an answer
                client.delete_run(twin.info.run_id)

    def _upload(self, client: Any, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
            (Path(folder) / name).write_bytes(content)
            client.log_artifact(self.run_id, str(Path(folder) / name))

    def _submit(self, call: Call) -> None:
        self.pending.append(call)
        if time.monotonic() >= self.retry_at:
            self._flush()

    def _flush(self) -> None:
        """Send the pending calls, and log once when MLflow goes away or comes back."""
        began = time.monotonic()
        try:
            self.server.assert_unlocked()
            while self.pending:
                self._send_first(began + SEND_SECONDS)
        except Exception as error:  # noqa: BLE001 - tracking must never cost a training
            self.retry_at = time.monotonic() + max(RETRY_SECONDS, RETRY_FACTOR * (time.monotonic() - began))
            if not self.is_away:
                effect = "the training goes on; its numbers are queued and sent when it answers"
                logger.warning("MLflow at %s: %s; %s", self.server.name, self.server.describe_error(error), effect)
            self.is_away = True
        else:
            self.retry_at = 0
            if self.is_away:
                logger.warning("MLflow at %s: answers again; the queue is sent", self.server.name)
            self.is_away = False

    def _send_first(self, until: float) -> None:
        """Send the first pending call; at the deadline, raise UnavailableError and keep the call for the next flush."""
        if self._sending is None:
            self._sending = start_call(partial(self._send, self.pending[0]))
        wait([self._sending], max(0.0, until - time.monotonic()))
        if not self._sending.done():
            raise UnavailableError(f"no answer within {SEND_SECONDS:g} s")
        sent, self._sending = self._sending, None
        sent.result()
        self.pending.popleft()

    def _send(self, call: Call) -> None:
        """Make a call; log permanent errors and raise others."""
        try:
            call(self.server.client)
        except Exception as error:
            if getattr(error, "error_code", "") not in NOT_FOUND_CODES:
                raise
            if not self.is_refused:
                logger.warning(
                    "MLflow at %s: %s; the training goes on", self.server.name, self.server.describe_error(error)
                )
            self.is_refused = True


@dataclass
class MlflowTracker:
    """Tracks trainings as runs of the project's experiment."""

    uri: str
    project: str
    provenance: Provenance = dict
    find_parent: FindParent = no_parent
    last_run_id: str | None = None

    @contextmanager
    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Start a run; it fails when the block raises."""
        run = MlflowRun(self._new_connection(), self.find_parent)
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

    def child_tracker(self, run: Run) -> "MlflowTracker":
        """Return a tracker of runs below a run; they have no parent while MLflow has not opened it."""
        return replace(self, find_parent=lambda _: getattr(run, "run_id", None))

    @contextmanager
    def parent_run(self, name: str) -> Iterator[Run]:
        """Open the parent, which stays open; without one, start a run of this name."""
        self.last_run_id = self._find_parent()
        if self.last_run_id is None:
            with self.start_run(name, {}, {}) as run:
                yield run
            return
        parent = MlflowRun(self._new_connection(), no_parent, self.last_run_id)
        yield parent
        parent.finish()
        self.last_run_id = parent.run_id if parent.is_complete else None

    def has_parent(self) -> bool:
        """Return whether there is a parent."""
        return self._find_parent() is not None

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag."""
        server = self._new_connection()

        def search() -> Any:
            return server.client.search_runs([server.experiment_id()], f"tags.`{tag}` = '{value}'", max_results=1)

        runs = server.call(f"look for the run with {tag} {value}", search)
        return str(runs[0].info.run_id) if runs else None

    def find_newest_tag(self, tag: str) -> str | None:
        """Return the value of a tag in the newest run that has it."""
        server = self._new_connection()

        def search() -> Any:
            order = ["attributes.start_time DESC"]
            return server.client.search_runs(
                [server.experiment_id()], f"tags.`{tag}` != ''", max_results=1, order_by=order
            )

        runs = server.call(f"look for the newest run with {tag}", search)
        return str(runs[0].data.tags[tag]) if runs else None

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file of a run."""
        server = self._new_connection()
        if server.database and not server.database.exists:
            raise DataError(f"run {run_id}: there is no MLflow at {server.name}; MLFLOW_TRACKING_URI says where it is")
        return server.call(f"read {name} of run {run_id}", lambda: _download(server, run_id, name))

    def _new_connection(self) -> MlflowConnection:
        return MlflowConnection(self.uri, self.project)

    def _find_parent(self) -> str | None:
        server = self._new_connection()
        return server.call("find the parent run", lambda: self.find_parent(server))


def _download(server: MlflowConnection, run_id: str, name: str) -> bytes:
    try:
        names = {file.path for file in server.client.list_artifacts(run_id)}
    except Exception as error:
        if getattr(error, "error_code", "") in NOT_FOUND_CODES:
            raise DataError(f"run {run_id}: no such run in MLflow at {server.name}") from None
        raise
    if name not in names:
        raise DataError(f"run {run_id}: has no {name}; expected a run of `adloom run` or of a pipeline")
    with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
        return Path(server.client.download_artifacts(run_id, name, folder)).read_bytes()


def _now() -> int:
    return int(time.time() * 1000)  # milliseconds, as MLflow counts
