"""Jobs as processes of this machine."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from adloom.kubeflow.jobs.base import Job, JobState

GRACE = 10  # seconds that a process has to end by itself


class LocalJobClient:
    """Jobs as processes of this machine, told of each other as Kubeflow Trainer tells its pods."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # logs
        self._nodes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._read: dict[str, int] = {}  # bytes of the first node's log

    def start(self, job: Job) -> None:
        """Start a process per node."""
        if job.name in self._nodes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._read[job.name] = 0
        together = {
            "PET_NNODES": job.nodes,
            "PET_NPROC_PER_NODE": job.devices,
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": _free_port(),
            **job.environment,
        }
        self._nodes[job.name] = [self._run(job, together | {"PET_NODE_RANK": n}, n) for n in range(job.nodes)]

    def get_state(self, name: str) -> JobState:
        """Return how the processes stand; one that failed is enough."""
        nodes = self._nodes.get(name)
        if nodes is None:
            return JobState("absent")
        ended = [node.poll() for node in nodes]
        if failed := next((n for n, code in enumerate(ended) if code), None):
            return JobState("failed", f"{name}-node-{failed}: {self._last(name, failed)}")
        if ended[0]:
            return JobState("failed", f"{name}-node-0: {self._last(name, 0)}")
        return JobState("running" if None in ended else "complete")

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield the lines that were written since."""
        with self._log(name, 0).open("rb") as log:
            log.seek(self._read[name])
            for line in log:
                self._read[name] += len(line)
                yield line.decode().rstrip("\n")

    def list_names(self, run: str) -> list[str]:
        """Return the names of all jobs, which end with this process."""
        return [*self._nodes]

    def delete(self, name: str) -> None:
        """End the processes."""
        for node in self._nodes.pop(name, []):
            node.terminate()
            try:
                node.wait(GRACE)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()

    def _run(self, job: Job, variables: Mapping[str, object], node: int) -> "subprocess.Popen[bytes]":
        told = [f"{name}={value}" for name, value in variables.items()]
        adloom = [sys.executable, "-m", "adloom"]
        with self._log(job.name, node).open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                ["env", *told, *adloom, *job.command],  # noqa: S607
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _log(self, name: str, node: int) -> Path:
        return self._folder / f"{name}-node-{node}.log"

    def _last(self, name: str, node: int) -> str:
        return ["", *self._log(name, node).read_text(encoding="utf-8").splitlines()][-1]


def _free_port() -> int:
    with ExitStack() as stack:
        free = stack.enter_context(closing(socket.socket()))
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
