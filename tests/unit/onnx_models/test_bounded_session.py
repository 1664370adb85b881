"""Inference with a deadline."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from adloom.errors import UnavailableError
from adloom.onnx_models.bounded_session import BoundedSession


class Session:
    """A session whose run takes some seconds, and stops early when its options say so, as ONNX Runtime does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_inputs(self) -> list[str]:
        return ["x"]

    def run(self, outputs: Any, inputs: Any, options: Any) -> list[float]:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            if options.terminate:
                raise RuntimeError("Exiting due to terminate flag being set to true.")
            if inputs == {"x": "broken"}:
                raise RuntimeError("broken input")
            time.sleep(0.01)
        return [1.0]


def bounded(session: Session, seconds: float) -> BoundedSession:
    return BoundedSession(session, lambda: SimpleNamespace(terminate=False), seconds)


def test_a_run_in_time_returns_its_outputs() -> None:
    session = bounded(Session(0), 30)
    assert session.run(None, {}) == [1.0]
    assert session.get_inputs() == ["x"]


def test_a_late_run_is_stopped() -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"stopped after 0\.1 s"):
        bounded(Session(60), 0.1).run(None, {})
    assert time.monotonic() - began < 30


def test_an_error_of_the_model_stays_its_own() -> None:
    with pytest.raises(RuntimeError, match="broken input"):
        bounded(Session(1), 30).run(None, {"x": "broken"})
