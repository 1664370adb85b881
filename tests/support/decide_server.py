"""Run `adloom serve --app decide` as a process, send requests to it, and read its log."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from click.testing import CliRunner
from tests.support.decision_logs import read_log, wait_until
from tests.support.tiny_models import DIMENSIONS

from adloom.cli.main import cli
from adloom.decision_log.record import Decision
from adloom.serving.api.decide_schemas import DECIDE

WITHIN = 30  # seconds for start, answer and shutdown
CREATIVES = [f"creative-{i}" for i in range(DIMENSIONS)]
REQUEST_BODY: Mapping[str, Any] = {
    "placement": "side",
    "candidates": CREATIVES,
    "user_id": "1",
    "n": 2,
    "tmax_ms": 10_000,
}


def post(body: Mapping[str, Any], *headers: str, path: str = DECIDE) -> bytes:
    """Return the bytes of a POST request."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: shop", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


@dataclass
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Connection:
    """A connection that sends raw bytes."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), WITHIN)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self) -> Answer:
        """Read one answer. Raises ConnectionError when the server closes first."""
        first = self._file.readline()
        if not first.endswith(b"\r\n"):
            raise ConnectionError("ended before an answer")
        headers: dict[str, str] = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, json.loads(body) if body else None)

    def ask(self, body: Mapping[str, Any], *headers: str) -> Answer:
        self.send(post(body, *headers))
        return self.answer()

    @property
    def ended(self) -> bool:
        """Wait for the server; return whether it closed the connection."""
        return self._file.read(1) == b""


@dataclass
class DecideServer:
    """A running process and its folder."""

    process: "subprocess.Popen[str]"
    folder: Path
    url: str

    def connect(self) -> Connection:
        return Connection(self.url)

    @property
    def errors(self) -> str:
        """Return its standard error."""
        return (self.folder / "errors").read_text(encoding="utf-8")

    def metric(self, name: str) -> float:
        """Return the value of a sample, or 0 if absent."""
        return metric(httpx.get(f"{self.url}/metrics").text, name)

    def resident(self) -> int:
        """Return its resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def refuses(self) -> bool:
        """Return whether its port refuses connections."""
        try:
            self.connect().__exit__()
        except ConnectionError:
            return True
        return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(WITHIN)

    def verify_log(self) -> Mapping[str, Any]:
        """Run `adloom log verify`, assert that only its clients are faster than people, and return the report."""
        log = str(self.folder / ".adloom" / "decisions")
        report: Mapping[str, Any] = json.loads(CliRunner().invoke(cli, ["log", "verify", log, "--json"]).stdout)
        assert {name for name, check in report["checks"].items() if check["count"]} <= {"burst"}
        return report

    def decisions(self) -> list[Decision]:
        """Return all decisions in the finished segments of its log."""
        return [line for line in read_log(self.folder / ".adloom" / "decisions") if isinstance(line, Decision)]


def metric(text: str, name: str) -> float:
    """Return the value of a sample in Prometheus' text, or 0 if absent."""
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else 0.0


@contextmanager
def pause_process(process: int) -> Iterator[None]:
    """Pause a process; it finds everything sent meanwhile at once when it resumes."""
    os.kill(process, signal.SIGSTOP)
    try:
        wait_until(lambda: Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@contextmanager
def run_decide_server(folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[DecideServer]:
    """Yield a server that works in a folder and listens on a free port; stop it at the end."""
    command = [sys.executable, "-m", "adloom", "serve", "--app", "decide", "--port", "0"]
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "MLFLOW_", "ADLOOM_", "OTEL_"))}
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            [*command, *arguments], cwd=folder, env={**inherited, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            assert ready[:2] == ["ready", "on"], (folder / "errors").read_text()
            yield DecideServer(process, folder, ready[2].rstrip(";"))
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
