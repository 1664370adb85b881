"""The outcome of a run, from what KFP passes to its exit handler and what the server knows."""

import pytest

from adloom.kubeflow.client.base import RunRequest, Task
from adloom.kubeflow.client.memory import MemoryKubeflowClient
from adloom.kubeflow.outcome import MAX_MESSAGE, find_outcome

PIPELINE = """
components: {comp-train: {executorLabel: exec-train}}
root: {dag: {tasks: {train: {componentRef: {name: comp-train}, taskInfo: {name: train-gan}}}}}
"""


@pytest.fixture
def kubeflow() -> MemoryKubeflowClient:
    client = MemoryKubeflowClient()
    version = client.upload_pipeline("shop-training", "digest", PIPELINE)
    client.start_run(RunRequest("shop-training", "a title", version, {}, "by hand"))
    return client


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED"])
def test_success_needs_no_server(state: str) -> None:
    assert find_outcome("run-1", state, None, MemoryKubeflowClient()).status == "FINISHED"


def test_a_failed_run_names_its_task(kubeflow: MemoryKubeflowClient) -> None:
    kubeflow.advance("run-1", "RUNNING", Task("train", "FAILED", "OOMKilled"))
    outcome = find_outcome("run-1", "RUNNING", None, kubeflow)
    assert outcome.status == "FAILED"
    assert "train-gan" in outcome.message
    assert "OOMKilled" in outcome.message


def test_a_terminated_run_is_killed(kubeflow: MemoryKubeflowClient) -> None:
    kubeflow.advance("run-1", "CANCELING")
    assert find_outcome("run-1", "RUNNING", None, kubeflow).status == "KILLED"


@pytest.mark.parametrize(("state", "status"), [("FAILED", "FAILED"), ("CANCELED", "KILLED")])
def test_an_unknown_run_has_the_message_of_kfp(state: str, status: str) -> None:
    outcome = find_outcome("gone", state, "x" * 1000, MemoryKubeflowClient())
    assert (outcome.status, outcome.message) == (status, "x" * MAX_MESSAGE)
