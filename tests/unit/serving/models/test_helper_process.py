"""Helper processes: answers, timeouts, ends and restarts."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adloom.errors import ExternalServiceError
from adloom.serving.models.helper_process import HelperProcess, HelperTimeoutError

MODULE = """
import os, sys, time
from adloom.serving.models import helper_process

def answer(request):
    print("a library prints")
    if request == "exit":
        os._exit(3)
    if request == "sleep":
        time.sleep(60)
    return [os.getpid(), request, sys.argv[1:]]

helper_process.answer_requests(answer)
"""
SECONDS = 30.0


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HelperProcess]:
    (tmp_path / "echo_helper.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    helper = HelperProcess("echo_helper", "one", "two")
    yield helper
    helper.close()


def test_requests_are_answered_by_one_process(helper: HelperProcess) -> None:
    first, second = helper.request({"a": [1]}, SECONDS), helper.request(None, SECONDS)
    assert (first[1:], second[1:]) == ([{"a": [1]}, ["one", "two"]], [None, ["one", "two"]])
    assert first[0] == second[0]


def test_a_process_that_ended_is_started_again(helper: HelperProcess) -> None:
    with pytest.raises(ExternalServiceError, match="status 3"):
        helper.request("exit", SECONDS)
    assert helper.request("again", SECONDS)[1] == "again"


def test_a_late_process_is_killed_and_started_again(helper: HelperProcess) -> None:
    before = helper.request("a", SECONDS)[0]
    with pytest.raises(HelperTimeoutError, match=r"0\.2 s"):
        helper.request("sleep", 0.2)
    assert helper.request("b", SECONDS)[0] != before


def test_close_ends_a_pending_request_and_all_later_ones(helper: HelperProcess) -> None:
    helper.request("started", SECONDS)
    timer = threading.Timer(0.2, helper.close)
    timer.start()
    with pytest.raises(ExternalServiceError, match="status -9"):
        helper.request("sleep", SECONDS)
    with pytest.raises(ExternalServiceError, match="stopping"):
        helper.request("a", SECONDS)
