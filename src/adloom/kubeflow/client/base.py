"""Clients of Kubeflow Pipelines: versions of a pipeline, runs and schedules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adloom.errors import ExternalServiceError

SUCCEEDED, FAILED, CANCELED, SKIPPED = "SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"
FINAL_STATES = frozenset({SUCCEEDED, FAILED, CANCELED, SKIPPED})
UNSUCCESSFUL_STATES = frozenset({FAILED, CANCELED, SKIPPED, "CANCELING"})
DEFAULT_REASON = "started in Kubeflow"


class NotFoundError(ExternalServiceError):
    """The server has no object of this name or id."""


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline on the server."""

    pipeline_id: str
    version_id: str


@dataclass(frozen=True)
class RunRequest:
    """A run to start, once or on a schedule."""

    pipeline: str  # its name on the server, and the name of the experiment of its runs
    title: str
    version: PipelineVersion
    arguments: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class Task:
    """One task of a run."""

    name: str
    state: str
    message: str  # empty unless the server knows why it failed


@dataclass(frozen=True)
class PipelineRun:
    """One run of a pipeline."""

    run_id: str
    title: str
    state: str
    created: datetime  # UTC
    arguments: Mapping[str, str]
    digest: str  # of the pipeline; empty if the server does not return the version
    reason: str
    url: str | None = None  # None without ADLOOM_KFP_UI
    message: str = ""  # empty unless the server knows why it failed
    version: PipelineVersion | None = None  # None if the server does not return it
    tasks: tuple[Task, ...] = ()  # only from `get_run`

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class Schedule:
    """A schedule that starts runs."""

    schedule_id: str
    title: str
    cron: str  # six fields, seconds first
    on: bool
    created: datetime  # UTC
    version_id: str
    arguments: Mapping[str, str]


class RunClient(Protocol):
    """Access to pipelines and runs."""

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Return the version with this digest, uploaded if it is missing."""
        ...

    def start_run(self, request: RunRequest) -> PipelineRun:
        """Start a run."""
        ...

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield a pipeline's runs, newest first, optionally only those of a title."""
        ...

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run with its tasks. Raises NotFoundError."""
        ...

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return a run's compiled pipeline, empty if it was deleted."""
        ...

    def delete_run(self, run_id: str) -> None:
        """Terminate and delete a run."""
        ...


class ScheduleClient(Protocol):
    """Access to schedules."""

    def create_schedule(self, request: RunRequest, cron: str) -> Schedule:
        """Create an enabled schedule."""
        ...

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return a pipeline's schedules, oldest first."""
        ...

    def set_enabled(self, schedule_id: str, enabled: bool) -> None:
        """Enable or pause a schedule."""
        ...

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule; its runs stay."""
        ...


class KubeflowClient(RunClient, ScheduleClient, Protocol):
    """Access to a server."""
