"""Helper processes that answer lines of JSON and are killed when they are late."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from adloom.errors import ExternalServiceError
from adloom.serving import request_context

EXIT_TIMEOUT = 5  # seconds for a process without output to exit


class HelperTimeoutError(ExternalServiceError):
    """The process did not answer in time."""


class HelperProcess:
    """Runs a module as a process, and restarts it after it ended."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()  # never held during a wait for an answer
        self._closed = False

    def request(self, message: object, seconds: float) -> Any:
        """Return the answer. Raises HelperTimeoutError or ExternalServiceError."""
        process, lines = self._ensure_started()
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the process has ended; the empty line below reports it
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise HelperTimeoutError(f"no answer within {seconds:g} s") from None
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_TIMEOUT)
            self.stop()
            raise ExternalServiceError(f"its process ended with status {process.returncode}")
        return json.loads(line)

    def stop(self) -> None:
        """Kill the process until the next request; a pending one fails."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill the process for good."""
        self._closed = True
        self.stop()

    def _ensure_started(self) -> "tuple[subprocess.Popen[str], queue.SimpleQueue[str]]":
        with self._lock:
            if self._closed:
                raise ExternalServiceError("the service is stopping")
            if self._process is None or self._process.poll() is not None:
                pipe = subprocess.PIPE
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    self._command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
                )
                self._lines = queue.SimpleQueue()
                threading.Thread(target=_read_lines, args=(self._process, self._lines), daemon=True).start()
            return self._process, self._lines


def _read_lines(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        for line in process.stdout:
            lines.put(line)
        lines.put("")


def answer_requests(handler: Callable[[Any], object]) -> None:
    """Answer each line of stdin, and exit when it ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # so that output of libraries is not an answer
    request_context.configure_logging()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_queue_requests, args=(requests,), daemon=True).start()
    while True:
        print(json.dumps(handler(json.loads(requests.get())), default=str), file=answers, flush=True)


def _queue_requests(requests: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the service has ended; a request that hangs must not keep this process alive
