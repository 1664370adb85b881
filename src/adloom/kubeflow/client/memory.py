"""Kubeflow Pipelines in memory, for tests."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import yaml

from adloom.kubeflow.client.base import NotFoundError, PipelineRun, PipelineVersion, RunRequest, Schedule, Task


@dataclass
class MemoryKubeflowClient:
    """A server in memory; tests set the states of its runs."""

    texts: dict[PipelineVersion, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # by version id
    stored_runs: dict[str, list[PipelineRun]] = field(default_factory=dict)  # by pipeline, oldest first
    stored_schedules: dict[str, list[Schedule]] = field(default_factory=dict)
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Store a pipeline's text."""
        version = PipelineVersion(pipeline, f"{pipeline}@{digest}")
        self.texts.setdefault(version, text)
        self.digests[version.version_id] = digest
        return version

    def start_run(self, request: RunRequest) -> PipelineRun:
        """Store a pending run."""
        number, digest = next(self.clock), self.digests[request.version.version_id]
        run = PipelineRun(
            run_id=f"run-{number}",
            title=request.title,
            state="PENDING",
            created=datetime.fromtimestamp(number, UTC),
            arguments=dict(request.arguments),
            digest=digest,
            reason=request.reason,
            url=f"memory:/#/runs/details/run-{number}",
            version=request.version,
        )
        self.stored_runs.setdefault(request.pipeline, []).append(run)
        return run

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield a pipeline's runs, newest first."""
        newest = list(reversed(self.stored_runs.get(pipeline, [])))
        return (replace(run, tasks=()) for run in newest if title in {None, run.title})

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run."""
        pipeline, i = self._locate(run_id)
        return self.stored_runs[pipeline][i]

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return a run's compiled pipeline."""
        spec = next(yaml.safe_load_all(self.texts[run.version])) if run.version else {}
        return spec if isinstance(spec, dict) else {}

    def delete_run(self, run_id: str) -> None:
        """Delete a run."""
        pipeline, i = self._locate(run_id)
        del self.stored_runs[pipeline][i]

    def advance(self, run_id: str, state: str, *tasks: Task, message: str = "") -> None:
        """Set the state of a run and its tasks."""
        pipeline, i = self._locate(run_id)
        run = self.stored_runs[pipeline][i]
        self.stored_runs[pipeline][i] = replace(run, state=state, tasks=tasks, message=message)

    def create_schedule(self, request: RunRequest, cron: str) -> Schedule:
        """Store a schedule."""
        number = next(self.clock)
        schedule = Schedule(
            schedule_id=f"schedule-{number}",
            title=request.title,
            cron=cron,
            on=True,
            created=datetime.fromtimestamp(number, UTC),
            version_id=request.version.version_id,
            arguments=dict(request.arguments),
        )
        self.stored_schedules.setdefault(request.pipeline, []).append(schedule)
        return schedule

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return a pipeline's schedules, oldest first."""
        return list(self.stored_schedules.get(pipeline, []))

    def set_enabled(self, schedule_id: str, enabled: bool) -> None:
        """Enable or pause a schedule."""
        for pipeline, schedules in self.stored_schedules.items():
            self.stored_schedules[pipeline] = [
                replace(schedule, on=enabled) if schedule.schedule_id == schedule_id else schedule
                for schedule in schedules
            ]

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete a schedule."""
        for pipeline, schedules in self.stored_schedules.items():
            self.stored_schedules[pipeline] = [each for each in schedules if each.schedule_id != schedule_id]

    def _locate(self, run_id: str) -> tuple[str, int]:
        for pipeline, runs in self.stored_runs.items():
            for i, run in enumerate(runs):
                if run.run_id == run_id:
                    return pipeline, i
        raise NotFoundError(f"run {run_id}: not known to the server")
