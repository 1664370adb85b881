"""Helper processes: each answers a line of JSON with a line of JSON, and is killed when it takes too long."""

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

ENDING = 5  # seconds for a process that answers no more to end by itself


class NoAnswerInTimeError(ExternalServiceError):
    """The process took longer than it may."""


class HelperProcess:
    """A process of one of our modules, started when it is first asked and again when it has ended."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()  # held for moments only, never while an answer is waited for
        self._closed = False

    def ask(self, question: object, seconds: float) -> Any:
        """Return the answer. Raises NoAnswerInTimeError, or ExternalServiceError when the process ends first."""
        process, lines = self._running()
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it ended; there will be no line
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise NoAnswerInTimeError(f"no answer within {seconds:g} s") from None
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDING)
            self.stop()
            raise ExternalServiceError(f"its process ended with status {process.returncode}")
        return json.loads(line)

    def stop(self) -> None:
        """Kill the process; a pending `ask` raises ExternalServiceError. The next `ask` starts it again."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill the process, and start it no more."""
        self._closed = True
        self.stop()

    def _running(self) -> "tuple[subprocess.Popen[str], queue.SimpleQueue[str]]":
        with self._lock:
            if self._closed:
                raise ExternalServiceError("the service is ending")
            if self._process is None or self._process.poll() is not None:
                pipe = subprocess.PIPE
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    self._command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
                )
                self._lines = queue.SimpleQueue()
                threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
            return self._process, self._lines


def _read(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        for line in process.stdout:
            lines.put(line)
        lines.put("")


def answer(make: Callable[[Any], object]) -> None:
    """Be such a process: answer each line of the input, and end when the input does, whatever is under way."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # what a library prints is no answer
    request_context.set_up()
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()
    while True:
        print(json.dumps(make(json.loads(questions.get())), default=str), file=answers, flush=True)


def _listen(questions: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        questions.put(line)
    os._exit(0)  # the service has ended: a call that hangs must not outlive it
