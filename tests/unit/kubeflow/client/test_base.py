"""What every server of pipelines does: the one in memory, and the one over HTTP against a stand-in for the real one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support import kfp_server
from tests.support.kfp_server import ARGUMENTS, PIPELINE

from adloom.config.settings import Settings
from adloom.kubeflow.client.base import KubeflowClient, NotFoundError, RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient
from adloom.kubeflow.client.memory import MemoryKubeflowClient

DIGEST = "d" * 64


@pytest.fixture(params=["memory", "http"])
def kubeflow(request: pytest.FixtureRequest) -> Iterator[KubeflowClient]:
    if request.param == "memory":
        yield MemoryKubeflowClient()
        return
    with kfp_server.serving() as stand_in:
        yield HttpKubeflowClient(Settings(ADLOOM_KFP_ENDPOINT=stand_in.url, ADLOOM_KFP_UI="http://pages.example"))


@pytest.fixture
def order(kubeflow: KubeflowClient) -> RunRequest:
    version = kubeflow.upload_pipeline("shop-training", DIGEST, PIPELINE)
    return RunRequest("shop-training", "a title", version, ARGUMENTS, "by hand")


def test_equal_pipelines_are_one_version(kubeflow: KubeflowClient, order: RunRequest) -> None:
    assert kubeflow.upload_pipeline("shop-training", DIGEST, PIPELINE) == order.version
    assert kubeflow.upload_pipeline("shop-training", "e" * 64, PIPELINE + "# other\n") != order.version
    assert kubeflow.upload_pipeline("other-training", DIGEST, PIPELINE) != order.version


def test_a_run_comes_back_as_it_was_started(kubeflow: KubeflowClient, order: RunRequest) -> None:
    run = kubeflow.start_run(order)
    assert (run.title, run.state, run.ended) == ("a title", "PENDING", False)
    assert (run.reason, run.digest, run.arguments) == ("by hand", DIGEST, ARGUMENTS)
    assert (run.url or "").endswith(f"/#/runs/details/{run.run_id}")
    assert kubeflow.get_spec(run).keys() == {"root"}
    assert run.created.utcoffset() == timedelta(0)
    assert kubeflow.get_run(run.run_id) == run
    assert list(kubeflow.list_runs("shop-training")) == [run]


def test_runs_are_listed_by_their_pipeline_and_title(kubeflow: KubeflowClient, order: RunRequest) -> None:
    titled = {title: kubeflow.start_run(replace(order, title=title)).run_id for title in ("one", "two: 2.0")}
    assert {run.run_id for run in kubeflow.list_runs("shop-training")} == set(titled.values())
    assert [run.run_id for run in kubeflow.list_runs("shop-training", "two: 2.0")] == [titled["two: 2.0"]]
    assert list(kubeflow.list_runs("shop-training", "on")) == []
    assert list(kubeflow.list_runs("shop-scoring")) == []


def test_a_discarded_run_is_as_if_it_had_never_been(kubeflow: KubeflowClient, order: RunRequest) -> None:
    kept, discarded = kubeflow.start_run(order), kubeflow.start_run(order)
    kubeflow.delete_run(discarded.run_id)
    assert [run.run_id for run in kubeflow.list_runs("shop-training")] == [kept.run_id]
    with pytest.raises(NotFoundError):
        kubeflow.get_run(discarded.run_id)


def test_a_schedule_is_made_paused_resumed_and_removed(kubeflow: KubeflowClient, order: RunRequest) -> None:
    assert kubeflow.list_schedules("shop-training") == []
    made = kubeflow.create_schedule(order, "0 30 3 * * *")
    assert (made.title, made.cron, made.on, made.arguments) == ("a title", "0 30 3 * * *", True, ARGUMENTS)
    assert made.version_id == order.version.version_id
    kubeflow.set_enabled(made.schedule_id, enabled=False)
    assert kubeflow.list_schedules("shop-training") == [replace(made, on=False)]
    kubeflow.set_enabled(made.schedule_id, enabled=True)
    assert kubeflow.list_schedules("shop-training") == [made]
    kubeflow.delete_schedule(made.schedule_id)
    assert kubeflow.list_schedules("shop-training") == []
