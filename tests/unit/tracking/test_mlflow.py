"""Tracking in MLflow when a call outlasts its deadline."""

import logging
import threading
import time
from typing import Any

import pytest

from adloom.tracking import mlflow
from adloom.tracking.mlflow import MlflowRun, MlflowTracker
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import no_parent


class SlowClient:
    """A client that answers a batch of metrics only after `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.steps: list[int] = []

    def log_batch(self, run_id: str, metrics: list[Any]) -> None:
        assert self.answer.wait(60)
        self.steps += [metric.step for metric in metrics]


@pytest.fixture
def client() -> SlowClient:
    return SlowClient()


@pytest.fixture
def run(client: SlowClient, monkeypatch: pytest.MonkeyPatch) -> MlflowRun:
    monkeypatch.setattr(mlflow, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(mlflow, "RETRY_SECONDS", 0)
    monkeypatch.setattr(mlflow, "RETRY_FACTOR", 0)
    server = MlflowConnection("http://127.0.0.1:9", "shop")
    server.client = client
    return MlflowRun(server, no_parent, "a run")


@pytest.mark.slow
def test_a_call_without_an_answer_costs_its_deadline_and_is_sent_once(
    run: MlflowRun, client: SlowClient, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "adloom"):
        for step in (1, 2, 3):
            run.log_metrics({"loss": 1.0}, step)
    assert 0.6 <= time.monotonic() - began < 30
    assert [record.getMessage().count("no answer within 0.2 s") for record in caplog.records] == [1]
    assert (len(run.pending), run.is_away, run.is_complete) == (3, True, False)
    client.answer.set()
    monotonic_end = time.monotonic() + 30
    while not run.is_complete and time.monotonic() < monotonic_end:
        run.finish()
    assert client.steps == [1, 2, 3]
    assert not run.is_away


def test_the_runs_of_a_child_tracker_lie_below_the_run(server: MlflowConnection) -> None:
    tracker = MlflowTracker(server.uri, "children")
    with (
        tracker.start_run("tune train_cnn", {}, {"above": "yes"}) as run,
        tracker.child_tracker(run).start_run("trial", {}, {"below": "yes"}),
    ):
        pass
    above, below = (tracker.find_run(tag, "yes") for tag in ("above", "below"))
    assert server.client.get_run(below).data.tags["mlflow.parentRunId"] == above
