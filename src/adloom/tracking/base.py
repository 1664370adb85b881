"""Tracking of trainings: params, metrics, tags and files."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Run(Protocol):
    """One tracked training."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of a step or epoch."""
        ...

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        ...

    def log_artifact(self, path: Path) -> None:
        """Store a file."""
        ...


class Tracker(Protocol):
    """A tracking server."""

    @property
    def last_run_id(self) -> str | None:
        """The id of the last run; None when it is incomplete."""
        ...

    def start_run(
        self, name: str, params: Mapping[str, object], tags: Mapping[str, str]
    ) -> AbstractContextManager[Run]:
        """Start a run; it fails when the block raises."""
        ...

    def child_tracker(self, run: Run) -> "Tracker":
        """Return a tracker that starts its runs below a run of this tracker."""
        ...

    def parent_run(self, name: str) -> AbstractContextManager[Run]:
        """Open the parent of all runs; without one, start a run of this name."""
        ...

    def has_parent(self) -> bool:
        """Return whether there is a parent run."""
        ...

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag."""
        ...

    def find_newest_tag(self, tag: str) -> str | None:
        """Return the value of a tag in the newest run that has it."""
        ...

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file of a run. Raises DataError without it."""
        ...
