"""Tracking: params, metrics, tags and files of a training, recorded while it runs."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Run(Protocol):
    """One tracked training."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one step or epoch."""
        ...

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags, such as manifest_digest when the artifact is sealed."""
        ...

    def log_artifact(self, path: Path) -> None:
        """Store a file, such as a sample sheet."""
        ...


class Tracker(Protocol):
    """The methods that stages need of a tracking server."""

    @property
    def last_run_id(self) -> str | None:
        """The id of the last run; None without one, or when it was not recorded completely."""
        ...

    def start_run(
        self, name: str, params: Mapping[str, object], tags: Mapping[str, str]
    ) -> AbstractContextManager[Run]:
        """Start a run; it ends as failed when the block raises."""
        ...

    def parent_run(self, name: str) -> AbstractContextManager[Run]:
        """Open the run that all others are nested below; without one, start a run of this name."""
        ...

    def has_parent(self) -> bool:
        """Return whether there is a run that all others are nested below."""
        ...

    def find_run(self, tag: str, value: str) -> str | None:
        """Return the id of a run with this tag, None when there is none."""
        ...

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """Return a file of a run. Raises DataError when there is no such run or file."""
        ...
