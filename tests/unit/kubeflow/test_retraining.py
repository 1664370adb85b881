"""Alarms become one request for a retraining."""

from collections.abc import Iterator

import pytest
from tests.support.trigger_stub import TOKEN, TriggerStub, trigger_server

from adloom.config.drift import Drift
from adloom.config.settings import Settings
from adloom.errors import ConfigError, UnavailableError
from adloom.kubeflow.retraining import NO_ALARM, NO_SERVER, REQUESTED, request_retraining
from adloom.tracking.memory import MemoryTracker

REASON = "events monetary PSI 0.31 (p 2e-09)"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TriggerStub]:
    with trigger_server() as stub:
        monkeypatch.setenv("ADLOOM_TRIGGER_URL", stub.url)
        monkeypatch.setenv("ADLOOM_TOKEN", TOKEN)
        yield stub


def test_ten_alarms_are_one_request_with_its_reason(server: TriggerStub) -> None:
    tracker = MemoryTracker()
    first, *others = (request_retraining(f"{REASON} {i}", Drift(), Settings(), tracker) for i in range(10))
    assert server.requests == [{"pipeline": "training", "reason": f"drift: {REASON} 0"}]
    assert first == f"started: drift: {REASON} 0"
    assert all(outcome.startswith("already requested at") for outcome in others)
    (run,) = tracker.runs
    assert run.recorded_tags["drift"] == f"{REASON} 0"
    assert run.recorded_tags["retraining"] == first


def test_after_the_cooldown_an_alarm_asks_again(server: TriggerStub) -> None:
    tracker = MemoryTracker()
    for _ in range(2):
        request_retraining(REASON, Drift(cooldown_hours=0), Settings(), tracker)
    assert len(server.requests) == 2


def test_a_long_reason_is_cut_for_the_server_and_kept_in_mlflow(server: TriggerStub) -> None:
    tracker = MemoryTracker()
    request_retraining("x" * 500, Drift(), Settings(), tracker)
    assert len(server.requests[0]["reason"]) == 200
    assert tracker.runs[0].recorded_tags["drift"] == "x" * 500


def test_a_request_that_failed_is_not_remembered(server: TriggerStub) -> None:
    tracker = MemoryTracker()
    server.status = 503
    with pytest.raises(UnavailableError, match="HTTP status 503; nothing was requested"):
        request_retraining(REASON, Drift(), Settings(), tracker)
    server.status = 202
    assert request_retraining(REASON, Drift(), Settings(), tracker).startswith("started")


def test_a_wrong_token_is_the_users_mistake(server: TriggerStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_TOKEN", "another-token")
    with pytest.raises(ConfigError, match="set ADLOOM_TOKEN to a token of scope trigger"):
        request_retraining(REASON, Drift(), Settings(), MemoryTracker())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1/trigger", "no address"])
def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ADLOOM_TRIGGER_URL", url)
    with pytest.raises(UnavailableError, match=f"ADLOOM_TRIGGER_URL={url}: .*; nothing was requested"):
        request_retraining(REASON, Drift(), Settings(), MemoryTracker())


def test_without_an_alarm_or_a_server_nothing_is_requested() -> None:
    tracker = MemoryTracker()
    assert request_retraining("", Drift(), Settings(), tracker) == NO_ALARM
    assert tracker.runs == []
    assert request_retraining(REASON, Drift(), Settings(), tracker) == NO_SERVER
    assert tracker.find_newest_tag(REQUESTED) is None
