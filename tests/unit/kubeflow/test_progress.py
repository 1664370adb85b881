"""Watching runs against a server in memory that moves when it is waited for, and saying why they failed."""

from dataclasses import dataclass, replace

import pytest

from adloom.errors import AdloomError, ExternalServiceError
from adloom.kubeflow import progress
from adloom.kubeflow.client.base import PipelineRun, RunRequest, Task
from adloom.kubeflow.client.memory import MemoryKubeflowClient

TASKS = {"train-gan": "train-gan", "prepare-3": "prepare events", "finish": "finish"}


@pytest.fixture
def kubeflow() -> MemoryKubeflowClient:
    return MemoryKubeflowClient()


def start(kubeflow: MemoryKubeflowClient) -> PipelineRun:
    version = kubeflow.upload_pipeline("shop-training", "d1", "text")
    return kubeflow.start_run(RunRequest("shop-training", "a title", version, {}, "by hand"))


def no_pause(_seconds: float) -> None:
    pass


def no_say(_line: str) -> None:
    pass


def ended(state: str, *tasks: Task) -> PipelineRun:
    """Return a run that ended so, with these tasks as the server lists them."""
    kubeflow = MemoryKubeflowClient()
    run = start(kubeflow)
    kubeflow.advance(run.run_id, state, *tasks)
    return kubeflow.get_run(run.run_id)


def watched(state: str, *tasks: Task) -> list[str]:
    """Return what is said of a run that has ended so, without the time of day."""
    kubeflow, told = MemoryKubeflowClient(), list[str]()
    run = start(kubeflow)
    kubeflow.advance(run.run_id, state, *tasks)
    progress.watch(run.run_id, kubeflow, TASKS, told.append, no_pause)
    return [" ".join(line.split()[1:]) if ":" in line[:6] else line for line in told]


def test_a_run_is_watched_until_it_ends_each_change_told_once(kubeflow: MemoryKubeflowClient) -> None:
    run = start(kubeflow)
    steps = iter(
        [
            [Task("train-gan-driver", "RUNNING", "")],
            [Task("train-gan", "RUNNING", "")],
            [Task("train-gan", "RUNNING", "")],
            [Task(name, "SUCCEEDED", "") for name in TASKS],
        ]
    )

    def pause(_seconds: float) -> None:
        tasks = next(steps)
        kubeflow.advance(run.run_id, "SUCCEEDED" if len(tasks) > 1 else "RUNNING", *tasks)

    told: list[str] = []
    assert progress.watch(run.run_id, kubeflow, TASKS, told.append, pause).state == "SUCCEEDED"
    assert [line.split()[1:] for line in told] == [
        ["run", "PENDING", "0/3"],
        ["run", "RUNNING", "0/3"],
        ["train-gan", "RUNNING", "0/3"],
        ["run", "SUCCEEDED", "3/3"],
        ["train-gan", "SUCCEEDED", "3/3"],
        ["prepare", "events", "SUCCEEDED", "3/3"],
        ["finish", "SUCCEEDED", "3/3"],
    ]


def test_a_run_that_succeeded_is_never_told_with_a_part_of_its_tasks() -> None:
    """KFP 2.17 stops telling of tasks when the state of a run is larger than 1 MB."""
    frozen = (Task("prepare-3", "SUCCEEDED", ""), Task("train-gan", "RUNNING", ""))
    assert watched("SUCCEEDED", *frozen) == [
        "run SUCCEEDED", "prepare events SUCCEEDED", "train-gan RUNNING", progress.INCOMPLETE
    ]  # fmt: skip
    assert watched("SUCCEEDED") == ["run SUCCEEDED", progress.INCOMPLETE]


def test_a_failed_run_whose_tasks_are_not_told_names_those_seen_last() -> None:
    frozen = (Task("prepare-3", "SUCCEEDED", ""), Task("train-gan", "RUNNING", ""))
    assert watched("FAILED", *frozen)[-1] == progress.INCOMPLETE
    assert progress.describe_failure(ended("FAILED", *frozen), TASKS) == (
        "failed: the server does not say why, the log of the task does; last seen running: train-gan"
    )


@pytest.mark.parametrize("tasks", [(), (Task("prepare-3", "SUCCEEDED", ""), Task("train-gan", "PENDING", ""))])
def test_a_failed_run_without_a_failed_task_is_not_told_whole(tasks: tuple[Task, ...]) -> None:
    assert watched("FAILED", *tasks)[-1] == progress.INCOMPLETE


def test_a_failed_run_whose_failed_task_is_told_is_told_with_its_count() -> None:
    assert watched("FAILED", Task("prepare-3", "FAILED", ""), Task("train-gan", "PENDING", "")) == [
        "run FAILED 0/3", "prepare events FAILED 0/3", "train-gan PENDING 0/3"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "nodes", [["prepare-3-driver"], ["prepare-3-driver", "prepare-3-driver(0)"], ["prepare-3-driver(0)"]]
)
def test_a_task_whose_driver_failed_is_named(nodes: tuple[str, ...]) -> None:
    tasks = [Task("prepare-3", "PENDING", ""), *(Task(name, "FAILED", "") for name in nodes)]
    assert "failed at prepare events (its driver): the server does not say why" in failed(*tasks)
    assert progress.collect_states(ended("FAILED", *tasks), TASKS)["prepare events"] == "FAILED"


def test_failed_pods_name_the_tasks_that_the_server_does_not_tell_of() -> None:
    frozen = ended("FAILED", Task("prepare-3", "SUCCEEDED", ""), Task("train-gan", "RUNNING", ""))
    pods = {
        "training-x.root(0).exit-handler-1(0).train-gan(1).executor(0)": "OOMKilled, exit code 137",
        "training-x.root(0).finish-driver(0)": "Error, exit code 1",
        "training-x.root-driver": "Error, exit code 2",
        "": "",
    }
    assert progress.describe_failure(progress.add_failed_pods(frozen, pods, TASKS), TASKS) == (
        "failed at train-gan, finish (its driver): OOMKilled, exit code 137; Error, exit code 1"
    )


def test_of_several_attempts_the_last_counts() -> None:
    attempts = (Task("prepare-3(0)", "FAILED", ""), Task("prepare-3(1)", "SUCCEEDED", ""))
    assert progress.collect_states(ended("RUNNING", *attempts), TASKS)["prepare events"] == "SUCCEEDED"
    goes_on = (*attempts[:1], Task("prepare-3", "RUNNING", ""))
    assert progress.collect_states(ended("RUNNING", *goes_on), TASKS)["prepare events"] == "RUNNING"


def test_what_keeps_pods_from_starting_is_asked_now_and_then_and_told_once(kubeflow: MemoryKubeflowClient) -> None:
    run, told, asked = start(kubeflow), list[str](), list[str]()
    looks = iter(range(3 * progress.POLLS_PER_CHECK))

    def pause(_seconds: float) -> None:
        if next(looks) == 2 * progress.POLLS_PER_CHECK:
            kubeflow.advance(run.run_id, "SUCCEEDED", *(Task(name, "SUCCEEDED", "") for name in TASKS))

    def notices(of: PipelineRun) -> str:
        asked.append(of.run_id)
        return "pods are refused"

    progress.watch(run.run_id, kubeflow, TASKS, told.append, pause, notices)
    assert asked == [run.run_id] * 3
    assert told.count("pods are refused") == 1


@dataclass
class Silent(MemoryKubeflowClient):
    """A server that gives no answer about a run, some times."""

    times: int = 0

    def get_run(self, run_id: str) -> PipelineRun:
        self.times -= 1
        if self.times >= 0:
            raise ExternalServiceError("no answer")
        return super().get_run(run_id)


def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    kubeflow = Silent()
    run = start(kubeflow)
    kubeflow.advance(run.run_id, "SUCCEEDED")
    kubeflow.times, told = 3, list[str]()
    assert progress.watch(run.run_id, kubeflow, TASKS, told.append, no_pause).state == "SUCCEEDED"
    assert told[:3] == ["no answer; the run goes on, waiting"] * 3


def test_a_server_that_stays_away_is_not_waited_for_forever() -> None:
    kubeflow = Silent(times=10**6)
    with pytest.raises(ExternalServiceError, match="no answer; the run goes on, `adloom runs` shows it"):
        progress.watch("run-1", kubeflow, TASKS, no_say, no_pause)
    assert 10**6 - kubeflow.times == progress.MAX_FAILED_POLLS


def test_a_run_that_is_deleted_meanwhile_is_not_waited_for(kubeflow: MemoryKubeflowClient) -> None:
    run = start(kubeflow)
    with pytest.raises(ExternalServiceError, match="run run-1: was deleted"):
        progress.watch(run.run_id, kubeflow, TASKS, no_say, lambda _: kubeflow.delete_run(run.run_id))


def failed(*tasks: Task, state: str = "FAILED", message: str = "") -> str:
    """Return what is said of a run that did not succeed."""
    kubeflow = MemoryKubeflowClient()
    run = start(kubeflow)
    kubeflow.advance(run.run_id, state, *tasks, message=message)
    with pytest.raises(AdloomError) as caught:
        progress.raise_for_failure(kubeflow.get_run(run.run_id), TASKS)
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_a_failed_run_names_the_task_and_why() -> None:
    tasks = (Task("root", "FAILED", ""), Task("prepare-3", "FAILED", "exit code 2"), Task("train-gan", "SUCCEEDED", ""))
    assert failed(*tasks) == "run run-1 failed at prepare events: exit code 2; memory:/#/runs/details/run-1"


def test_why_may_stand_with_the_run_with_a_pod_or_nowhere() -> None:
    task = Task("train-gan", "FAILED", "")
    assert "failed at train-gan: out of quota; " in failed(task, message="out of quota")
    assert "failed at train-gan: OOMKilled; " in failed(task, Task("executor", "FAILED", "OOMKilled"))
    assert "failed at train-gan: the server does not say why, the log of the task does; " in failed(task)
    assert failed(message="no quota") == "run run-1 failed: no quota; memory:/#/runs/details/run-1"


def test_a_cancelled_run_is_no_success() -> None:
    assert failed(state="CANCELED") == "run run-1 is canceled; memory:/#/runs/details/run-1"


def test_of_tasks_with_one_name_the_worst_counts() -> None:
    run = start(MemoryKubeflowClient())
    twice = replace(run, tasks=(Task("train-gan", "SUCCEEDED", ""), Task("train-gan", "RUNNING", "")))
    assert progress.collect_states(twice, TASKS) == {"run": "PENDING", "train-gan": "RUNNING"}
