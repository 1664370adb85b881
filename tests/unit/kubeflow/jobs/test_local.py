"""Jobs as processes: their states, logs and ends."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adloom.config.resources import PodResources
from adloom.kubeflow.jobs.base import Job, JobState
from adloom.kubeflow.jobs.local import LocalJobClient


@pytest.fixture
def client(tmp_path: Path) -> Iterator[LocalJobClient]:
    client = LocalJobClient(tmp_path)
    yield client
    client.delete("job")


def job(*command: str) -> Job:
    return Job("job", command, 2, 1, "", PodResources(), {})


def wait(client: LocalJobClient) -> JobState:
    deadline = time.monotonic() + 60
    while (state := client.get_state("job")).phase == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def test_every_node_runs_the_command_and_the_first_nodes_lines_come_once(client: LocalJobClient) -> None:
    assert client.get_state("job") == JobState("absent")
    client.start(job("--version"))
    client.start(job("--no-such-option"))  # joins the first
    assert wait(client) == JobState("complete")
    assert client.list_names("any") == ["job"]
    [line] = client.read_logs("job")
    assert line.startswith("adloom")
    assert list(client.read_logs("job")) == []


def test_a_node_that_fails_is_named_with_its_last_line(client: LocalJobClient) -> None:
    client.start(job("--no-such-option"))
    state = wait(client)
    assert state.phase == "failed"
    assert state.reason.startswith("job-node-")
    assert "--no-such-option" in state.reason


def test_a_deleted_job_is_absent(client: LocalJobClient) -> None:
    client.start(job("--version"))
    client.delete("job")
    client.delete("job")
    assert client.get_state("job") == JobState("absent")
