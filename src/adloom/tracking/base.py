"""Tracking: what a training tells about itself while it runs."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Run(Protocol):
    """One tracked training."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers of one step or epoch."""
        ...

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags, such as manifest_digest when the artifact is sealed."""
        ...

    def log_artifact(self, path: Path) -> None:
        """Keep a file, such as a sample sheet."""
        ...


class Tracker(Protocol):
    """What stages need of a tracking server."""

    @property
    def last_run_id(self) -> str | None:
        """The id of the run opened last; None when there is none, or it could not be recorded."""
        ...

    def start_run(
        self, name: str, params: Mapping[str, object], tags: Mapping[str, str]
    ) -> AbstractContextManager[Run]:
        """Open a run of this name; it ends as failed when the block raises."""
        ...

    def parent_run(self, name: str) -> AbstractContextManager[Run]:
        """Open the run that all others lie below; where there is none, a run of this name."""
        ...

    def has_parent(self) -> bool:
        """Return whether there is a run that all others lie below."""
        ...

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag, None when there is none."""
        ...

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file that a run kept. Raises DataError when there is no such run, or it kept no such file."""
        ...
