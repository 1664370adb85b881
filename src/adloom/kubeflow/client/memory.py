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
    """A server in memory whose runs change state when they are told to: for tests."""

    texts: dict[PipelineVersion, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # by version id
    known: dict[str, list[PipelineRun]] = field(default_factory=dict)  # by pipeline, oldest first
    planned: dict[str, list[Schedule]] = field(default_factory=dict)
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def upload_pipeline(self, pipeline: str, digest: str, text: str) -> PipelineVersion:
        """Keep a pipeline's text."""
        version = PipelineVersion(pipeline, f"{pipeline}@{digest}")
        self.texts.setdefault(version, text)
        self.digests[version.version_id] = digest
        return version

    def start_run(self, order: RunRequest) -> PipelineRun:
        """Remember a run, which is pending."""
        number, digest = next(self.clock), self.digests[order.version.version_id]
        run = PipelineRun(
            run_id=f"run-{number}",
            title=order.title,
            state="PENDING",
            created=datetime.fromtimestamp(number, UTC),
            arguments=dict(order.arguments),
            digest=digest,
            reason=order.reason,
            url=f"memory:/#/runs/details/run-{number}",
            version=order.version,
        )
        self.known.setdefault(order.pipeline, []).append(run)
        return run

    def list_runs(self, pipeline: str, title: str | None = None) -> Iterator[PipelineRun]:
        """Yield the runs of a pipeline, newest first."""
        newest = list(reversed(self.known.get(pipeline, [])))
        return (replace(run, tasks=()) for run in newest if title in {None, run.title})

    def get_run(self, run_id: str) -> PipelineRun:
        """Return a run."""
        pipeline, i = self._place(run_id)
        return self.known[pipeline][i]

    def get_spec(self, run: PipelineRun) -> Mapping[str, Any]:
        """Return the compiled pipeline of a run."""
        found = next(yaml.safe_load_all(self.texts[run.version])) if run.version else {}
        return found if isinstance(found, dict) else {}

    def delete_run(self, run_id: str) -> None:
        """Forget a run."""
        pipeline, i = self._place(run_id)
        del self.known[pipeline][i]

    def advance(self, run_id: str, state: str, *tasks: Task, message: str = "") -> None:
        """Let a run and its tasks be in another state."""
        pipeline, i = self._place(run_id)
        self.known[pipeline][i] = replace(self.known[pipeline][i], state=state, tasks=tasks, message=message)

    def create_schedule(self, order: RunRequest, cron: str) -> Schedule:
        """Remember a schedule."""
        number = next(self.clock)
        made = Schedule(
            schedule_id=f"schedule-{number}",
            title=order.title,
            cron=cron,
            on=True,
            created=datetime.fromtimestamp(number, UTC),
            version_id=order.version.version_id,
            arguments=dict(order.arguments),
        )
        self.planned.setdefault(order.pipeline, []).append(made)
        return made

    def list_schedules(self, pipeline: str) -> list[Schedule]:
        """Return the schedules of a pipeline, oldest first."""
        return list(self.planned.get(pipeline, []))

    def set_enabled(self, schedule_id: str, on: bool) -> None:
        """Switch a schedule."""
        for pipeline, schedules in self.planned.items():
            self.planned[pipeline] = [replace(s, on=on) if s.schedule_id == schedule_id else s for s in schedules]

    def delete_schedule(self, schedule_id: str) -> None:
        """Forget a schedule."""
        for pipeline, schedules in self.planned.items():
            self.planned[pipeline] = [s for s in schedules if s.schedule_id != schedule_id]

    def _place(self, run_id: str) -> tuple[str, int]:
        for pipeline, runs in self.known.items():
            for i, run in enumerate(runs):
                if run.run_id == run_id:
                    return pipeline, i
        raise NotFoundError(f"run {run_id}: not known to the server")
