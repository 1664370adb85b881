"""Jobs as processes of this machine."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from adloom.kubeflow.jobs.base import Job, JobState

GRACE_SECONDS = 10  # between SIGTERM and SIGKILL


class LocalJobClient:
    """Processes with the variables that Kubeflow Trainer sets in its pods."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # of the logs
        self._processes: dict[str, list[subprocess.Popen[bytes]]] = {}  # by job, one per node
        self._offsets: dict[str, int] = {}  # bytes read of the first node's log

    def start(self, job: Job) -> None:
        """Start one process per node."""
        if job.name in self._processes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._offsets[job.name] = 0
        shared = {
            "PET_NNODES": job.nodes,
            "PET_NPROC_PER_NODE": job.devices,
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": _find_free_port(),
            **job.environment,
        }
        self._processes[job.name] = [self._start_node(job, shared | {"PET_NODE_RANK": n}, n) for n in range(job.nodes)]

    def get_state(self, name: str) -> JobState:
        """Return the state of the processes; one failure fails the job."""
        processes = self._processes.get(name)
        if processes is None:
            return JobState("absent")
        codes = [process.poll() for process in processes]
        if failed := [node for node, code in enumerate(codes) if code]:
            log = self._log(name, failed[0]).read_text(encoding="utf-8")
            last_line = ["", *log.splitlines()][-1]
            return JobState("failed", f"{name}-node-{failed[0]}: {last_line}")
        return JobState("running" if None in codes else "complete")

    def read_logs(self, name: str) -> Iterator[str]:
        """Yield the new lines of the first node."""
        with self._log(name, 0).open("rb") as log:
            log.seek(self._offsets[name])
            for line in log:
                self._offsets[name] += len(line)
                yield line.decode().rstrip("\n")

    def list_names(self, run: str) -> list[str]:
        """Return the names of all jobs, which end with this process."""
        return [*self._processes]

    def delete(self, name: str) -> None:
        """Stop the processes."""
        for process in self._processes.pop(name, []):
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start_node(self, job: Job, variables: Mapping[str, object], node: int) -> "subprocess.Popen[bytes]":
        assignments = [f"{name}={value}" for name, value in variables.items()]
        with self._log(job.name, node).open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                ["env", *assignments, sys.executable, "-m", "adloom", *job.command],  # noqa: S607
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _log(self, name: str, node: int) -> Path:
        return self._folder / f"{name}-node-{node}.log"


def _find_free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
