"""Which errors of a task are tried again in its pod, when, and what is said of it."""

import os
import re
import signal
import subprocess
import sys

import pytest

from adloom.errors import (
    AdloomError,
    ArtifactError,
    AuthenticationError,
    ConfigError,
    DataError,
    ExternalServiceError,
    UnavailableError,
)
from adloom.kubeflow import component_runtime
from adloom.retry import RetryPolicy


class Task:
    """A task that fails some times; the policy's pauses are noted, not waited for."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error = failures, error
        self.calls, self.pauses = list[str](), list[float]()
        self.run = RetryPolicy(sleep=self.pauses.append)(self._run)

    def _run(self, name: str) -> str:
        self.calls.append(name)
        if len(self.calls) <= self.failures:
            raise self.error
        return name


@pytest.mark.parametrize("error", [ExternalServiceError("MLflow is away"), UnavailableError("S3 is away")])
def test_what_lives_by_the_network_is_tried_again_after_longer_and_longer_pauses(
    error: ExternalServiceError, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(3, error)
    assert task.run("gan") == "gan"
    assert (task.calls, task.pauses) == (["gan"] * 4, [30, 60, 120])
    assert caplog.messages == [f"{error}; try {n} of 4 in {s} seconds" for n, s in ((2, 30), (3, 60), (4, 120))]


def test_after_the_last_try_the_error_is_the_tasks(caplog: pytest.LogCaptureFixture) -> None:
    task = Task(4, ExternalServiceError("away"))
    with pytest.raises(ExternalServiceError, match="^away$"):
        task.run("gan")
    assert len(caplog.messages) == 3


def test_a_policy_within_another_does_not_multiply_the_tries() -> None:
    inner = Task(9, ExternalServiceError("away"))
    pauses = list[float]()
    with pytest.raises(ExternalServiceError, match="^away$"):
        RetryPolicy(sleep=pauses.append)(inner.run)("gan")
    assert (len(inner.calls), pauses) == (4, [])


@pytest.mark.parametrize(
    "error",
    [
        DataError("x"),
        ConfigError("x"),
        AuthenticationError("x"),
        ArtifactError("x"),
        AdloomError("pod: OOMKilled"),
        OSError(),
    ],
)
def test_what_a_pause_does_not_mend_fails_at_once(error: Exception) -> None:
    task = Task(1, error)
    with pytest.raises(type(error)):
        task.run("gan")
    assert (len(task.calls), task.pauses) == (1, [])


def test_everything_that_components_call_is_tried_again_but_the_end() -> None:
    called = {"call", "scan_sources", "prepare", "evaluate", "register", "score"}
    repeated = {name for name, found in vars(component_runtime).items() if hasattr(found, "__wrapped__")}
    assert called <= repeated
    assert "finish" not in repeated  # a webhook must not be told twice


WAITING = """
from adloom.errors import ExternalServiceError
from adloom.retry import RETRY

def fail():
    raise ExternalServiceError("S3 is away")

RETRY(fail)()
"""


def test_a_pod_that_is_ended_in_a_pause_ends_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert re.fullmatch("S3 is away; try 2 of 4 in 30 seconds\n", process.stderr.readline())
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
