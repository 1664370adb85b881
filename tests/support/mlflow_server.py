"""Run `mlflow server` on PostgreSQL and S3: one worker, a free port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.support.seaweedfs import free_ports

WITHIN = 120  # seconds for start and shutdown
ENVIRONMENT = {
    "AWS_DEFAULTS_MODE": "standard",  # 3 seconds to connect instead of 60
    "AWS_MAX_ATTEMPTS": "1",  # clients retry; each attempt at a silent S3 holds a thread for 60 seconds
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass
class MlflowServer:
    """A server that can be stopped and restarted on the same port and data."""

    port: int
    folder: Path
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "mlflow.log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it without waiting."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it answers from its database."""
        until = time.monotonic() + WITHIN
        while True:
            try:
                search = {"max_results": 1}
                httpx.post(f"{self.uri}/api/2.0/mlflow/experiments/search", json=search).raise_for_status()
            except httpx.HTTPError as error:
                if time.monotonic() > until or self.process is None or self.process.poll() is not None:
                    raise AssertionError(f"MLflow is not ready: {error}\n{self.log}") from error
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=0.1)
            else:
                return

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it and its worker: cleanly, or with SIGKILL."""
        if self.process is not None:
            os.killpg(self.process.pid, how)
            self.process.wait(timeout=WITHIN)
            self.process = None


@contextmanager
def running(folder: Path, database: str, destination: str, s3: Mapping[str, str]) -> Iterator[MlflowServer]:
    """Yield a server with this database and artifacts at this s3:// address; `s3` has S3's variables."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "MLFLOW_", "ADLOOM_"))}
    backend = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": destination}
    server = MlflowServer(free_ports(1)[0], folder, {**inherited, **ENVIRONMENT, **s3, **backend})
    try:
        server.start()
        yield server
    finally:
        server.end()
