"""Retries: which errors are transient, the pauses, the budget, and the log."""

import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    """A task that fails several times, with a policy that records its pauses instead of waiting."""

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
def test_errors_of_external_services_are_retried_after_longer_and_longer_pauses(
    error: ExternalServiceError, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(3, error)
    assert task.run("gan") == "gan"
    assert (task.calls, task.pauses) == (["gan"] * 4, [30, 60, 120])
    assert caplog.messages == [f"{error}; try {n} of 4 in {s} seconds" for n, s in ((2, 30), (3, 60), (4, 120))]


def test_the_last_error_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    task = Task(4, ExternalServiceError("away"))
    with pytest.raises(ExternalServiceError, match="^away$"):
        task.run("gan")
    assert len(caplog.messages) == 3


def test_nested_policies_do_not_multiply_the_attempts() -> None:
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
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_raised_at_once(error: BaseException) -> None:
    task = Task(1, error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        task.run("gan")
    assert (len(task.calls), task.pauses) == (1, [])


@dataclass
class Clock:
    """A clock that advances by pauses and by the duration of attempts."""

    durations: list[float]
    now: float = 0
    starts: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def fail(self) -> None:
        self.starts.append(self.now)
        self.now += self.durations[len(self.starts) - 1]
        raise OSError(len(self.starts))

    def note(self, _: Exception, seconds: float) -> bool:
        self.seen.append(seconds)
        return True


def test_no_attempt_begins_after_the_budget_which_starts_with_the_first_failure() -> None:
    clock = Clock([600, 8, 5, 1])
    policy = RetryPolicy((1, 2, 4), clock.note, budget=12, sleep=clock.sleep, clock=lambda: clock.now)
    with pytest.raises(OSError, match="^3$"):
        policy.call(clock.fail)
    assert clock.starts == [0, 601, 611]  # the budget ends at 612, and the fourth would begin at 620
    assert clock.seen == [600, 8, 5]


@given(st.lists(st.floats(0, 20), min_size=4, max_size=4), st.floats(0, 30))
def test_attempts_begin_within_the_budget_and_pauses_are_kept(durations: list[float], budget: float) -> None:
    clock = Clock(durations)
    policy = RetryPolicy((1, 2, 4), clock.note, budget, clock.sleep, lambda: clock.now)
    with pytest.raises(OSError, match="^[1-4]$"):
        policy.call(clock.fail)
    assert all(start <= durations[0] + budget for start in clock.starts[1:])
    assert clock.seen == pytest.approx(durations[: len(clock.starts)])


def test_short_pauses_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock([0, 0])
    with caplog.at_level(logging.DEBUG), pytest.raises(OSError, match="2"):
        RetryPolicy((1,), clock.note, sleep=clock.sleep).call(clock.fail)
    assert [record.levelname for record in caplog.records if record.name == "adloom.retry"] == ["DEBUG"]


def test_everything_that_components_call_is_retried_but_the_end() -> None:
    called = {"run_stage", "scan_sources", "prepare", "evaluate", "register", "score"}
    retried = {name for name, value in vars(component_runtime).items() if hasattr(value, "__wrapped__")}
    assert called <= retried
    assert "finish" not in retried  # else a webhook would be posted twice


WAITING = """
from adloom.errors import ExternalServiceError
from adloom.retry import RETRY

def fail():
    raise ExternalServiceError("S3 is away")

RETRY(fail)()
"""


def test_a_pod_that_is_stopped_during_a_pause_ends_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert re.fullmatch("S3 is away; try 2 of 4 in 30 seconds\n", process.stderr.readline())
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
