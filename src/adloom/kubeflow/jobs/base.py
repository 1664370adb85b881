"""Jobs: one command of adloom on several machines at once, each of which is told of the others as torchrun needs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from adloom.config.resources import PodResources

Phase = Literal["absent", "running", "ending", "complete", "failed"]


@dataclass(frozen=True)
class Job:
    """What is to run, and where."""

    name: str
    command: tuple[str, ...]  # adloom's arguments
    nodes: int
    devices: int  # processes on each
    image: str
    place: PodResources  # of each node
    environment: Mapping[str, str]  # beside what the cluster's configuration gives; nothing secret


@dataclass(frozen=True)
class JobState:
    """How a job stands; `why` names the machine that failed and its last words, or what one waits for."""

    phase: Phase
    why: str = ""
    restarts: str = ""  # the machine because of which a job that runs is started again, and its last words


class JobClient(Protocol):
    """What is needed of whoever runs jobs."""

    def start(self, job: Job) -> None:
        """Start a job; one of this name that is there already goes on. Raises ConfigError when it may not be."""
        ...

    def get_state(self, name: str) -> JobState:
        """Return how a job stands."""
        ...

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield the lines of the first machine that were not yielded before; it ends when there is none for a while."""
        ...

    def list_names(self, run: str) -> list[str]:
        """Return the names of the jobs that a pipeline's run started."""
        ...

    def delete(self, name: str) -> None:
        """End a job and forget it, if there is one."""
        ...
