"""Kubeflow Pipelines: versions of a pipeline, runs of them, and schedules that make runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adloom.errors import ExternalServiceError

SUCCEEDED, FAILED, CANCELED, SKIPPED = "SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"
FINAL_STATES = frozenset({SUCCEEDED, FAILED, CANCELED, SKIPPED})
DEFAULT_REASON = "started in Kubeflow"  # the reason of a run for which none is given
UNSUCCESSFUL_STATES = frozenset({FAILED, CANCELED, SKIPPED, "CANCELING"})  # will never have succeeded


class NotFoundError(ExternalServiceError):
    """The server has nothing of this name or id."""


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline that the server holds."""

    pipeline_id: str
    version_id: str


@dataclass(frozen=True)
class RunRequest:
    """What is to run, once or on a schedule."""

    pipeline: str  # its name on the server; the experiment its runs lie in is called the same
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
    digest: str  # of the pipeline; empty when the server does not say which version ran
    reason: str
    url: str | None = None  # its page; None when ADLOOM_KFP_UI names no pages
    message: str = ""  # empty unless the server knows why it failed
    version: PipelineVersion | None = None  # of the pipeline; None when the server does not say which version ran
    tasks: tuple[Task, ...] = ()  # only of a run that was asked for by its id

    @property
    def ended(self) -> bool:
        """Whether its state is the last one."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class Schedule:
    """A schedule that makes runs."""

    schedule_id: str
    title: str
    cron: str  # six fields, seconds first, as the server keeps it
    on: bool
    created: datetime  # UTC
    version_id: str
    arguments: Mapping[str, str]


class RunClient(Protocol):
    """What is needed of a server to run pipelines."""

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Return the version called by this digest, uploaded unless it is there already."""
        ...

    def start_run(self, order: RunRequest) -> PipelineRun:
        """Start a run."""
        ...

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield the runs of a pipeline, newest first; only those of a title when one is given."""
        ...

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run with its tasks. Raises NotFoundError when there is none of this id."""
        ...

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return the compiled pipeline of a run, empty when the server does not have it."""
        ...

    def delete_run(self, run_id: str) -> None:
        """Stop a run and remove it, as if it had never been started."""
        ...


class ScheduleClient(Protocol):
    """What is needed of a server to run pipelines on a schedule."""

    def create_schedule(self, order: RunRequest, cron: str) -> Schedule:
        """Make a schedule, which is on."""
        ...

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return the schedules of a pipeline, oldest first."""
        ...

    def set_enabled(self, schedule_id: str, on: bool) -> None:
        """Let a schedule make runs, or none until it is switched on again."""
        ...

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; the runs it made stay."""
        ...


class KubeflowClient(RunClient, ScheduleClient, Protocol):
    """All that is needed of a server."""
