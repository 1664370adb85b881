"""Jobs: one command of adloom on several nodes, started with torchrun's variables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from adloom.config.resources import PodResources

Phase = Literal["absent", "running", "ending", "complete", "failed"]


@dataclass(frozen=True)
class Job:
    """A command and its resources."""

    name: str
    command: tuple[str, ...]  # adloom's arguments
    nodes: int
    devices: int  # processes per node
    image: str
    resources: PodResources  # of each node
    environment: Mapping[str, str]  # in addition to the cluster's configuration; nothing secret


@dataclass(frozen=True)
class JobState:
    """The state of a job."""

    phase: Phase
    reason: str = ""  # the node that failed and its last line, or what a node waits for
    restarts: str = ""  # the node because of which a running job restarts, and its last line


class JobClient(Protocol):
    """Access to jobs."""

    def start(self, job: Job) -> None:
        """Start a job unless it exists. Raises ConfigError if that is forbidden."""
        ...

    def get_state(self, name: str) -> JobState:
        """Return a job's state."""
        ...

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield new lines of the first node, until none comes for a while."""
        ...

    def list_names(self, run: str) -> list[str]:
        """Return the names of the jobs of a pipeline run."""
        ...

    def delete(self, name: str) -> None:
        """Stop and delete a job if it exists."""
        ...
