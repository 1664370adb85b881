"""A tracker in memory, for tests and for runs without MLflow."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adloom.errors import DataError
from adloom.tracking.base import Run


@dataclass
class MemoryRun:
    """A run in memory."""

    name: str
    params: Mapping[str, object]
    recorded_tags: dict[str, str]
    recorded: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    status: str = "RUNNING"
    parent: str | None = None  # name of the run above

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics."""
        for name, value in values.items():
            self.recorded.setdefault(name, []).append((step, value))

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""
        self.recorded_tags.update(values)

    def log_artifact(self, path: Path) -> None:
        """Record a file."""
        self.files[path.name] = path.read_bytes()

    @property
    def artifacts(self) -> list[str]:
        """The names of the files."""
        return list(self.files)


@dataclass
class MemoryTracker:
    """A tracker in memory; the id of a run is its number."""

    runs: list[MemoryRun] = field(default_factory=list)
    parent: str | None = None  # name of the run above the next ones

    @property
    def last_run_id(self) -> str | None:
        """The number of the last run."""
        return str(len(self.runs)) if self.runs else None

    @contextmanager
    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        """Start a run."""
        run = MemoryRun(name, dict(params), dict(tags), parent=self.parent)
        self.runs.append(run)
        try:
            yield run
        except BaseException:
            run.status = "FAILED"
            raise
        run.status = "FINISHED"

    def child_tracker(self, run: Run) -> "MemoryTracker":
        """Return a tracker with the same runs."""
        return MemoryTracker(self.runs, getattr(run, "name", None))

    def parent_run(self, name: str) -> AbstractContextManager[Run]:
        """Start a run."""
        return self.start_run(name, {}, {})

    def has_parent(self) -> bool:
        """Return False: no run has a parent."""
        return False

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the number of the first run with this tag."""
        numbers = (number for number, run in enumerate(self.runs, 1) if run.recorded_tags.get(tag) == value)
        return next(map(str, numbers), None)

    def find_newest_tag(self, tag: str) -> str | None:
        """Return the value of a tag in the newest run that has it."""
        return next((run.recorded_tags[tag] for run in reversed(self.runs) if tag in run.recorded_tags), None)

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file of a run."""
        run = next((run for number, run in enumerate(self.runs, 1) if str(number) == run_id), None)
        if run is None or name not in run.files:
            raise DataError(f"run {run_id}: {'no such run' if run is None else f'has no {name}'}")
        return run.files[name]
