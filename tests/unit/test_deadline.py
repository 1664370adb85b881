"""A call that takes too long is left behind; what is waited for is said."""

import threading

import pytest
from tests.support.decision_logs import wait_until

from adloom import deadline
from adloom.deadline import TimedCall, call_within
from adloom.errors import UnavailableError


def test_a_result_or_an_error_is_passed_on() -> None:
    assert call_within(10, "a sum", lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        call_within(10, "a quotient", lambda: 1 // 0)
    with pytest.raises(TimeoutError, match="its own"):
        call_within(10, "a call", lambda: (_ for _ in ()).throw(TimeoutError("its own")))


def test_a_call_without_end_is_abandoned_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deadline, "REMINDER", 0.05)
    over = threading.Event()
    call = TimedCall(0.3, "the registry's answer", over.wait)
    with pytest.raises(UnavailableError, match=r"^the registry's answer: no whole answer within 0\.3 s$"):
        call.result()
    assert "still waiting for the registry's answer, 0 s so far" in caplog.text
    assert deadline.is_call_running()
    over.set()
    wait_until(lambda: not deadline.is_call_running())
    assert call.result()
