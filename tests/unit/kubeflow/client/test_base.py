"""What every server of pipelines does: the one in memory, and the one over HTTP against a stand-in for the real one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support import kfp_server
from tests.support.kfp_server import ARGUMENTS, PIPELINE

from adloom.config.settings import Settings
from adloom.kubeflow.client.base import Kubeflow, NotFoundError, RunRequest
from adloom.kubeflow.client.http import KfpServer
from adloom.kubeflow.client.memory import MemoryKubeflow

DIGEST = "d" * 64


@pytest.fixture(params=["memory", "http"])
def kubeflow(request: pytest.FixtureRequest) -> Iterator[Kubeflow]:
    if request.param == "memory":
        yield MemoryKubeflow()
        return
    with kfp_server.serving() as stand_in:
        yield KfpServer(Settings(ADLOOM_KFP_ENDPOINT=stand_in.url, ADLOOM_KFP_UI="http://pages.example"))


@pytest.fixture
def order(kubeflow: Kubeflow) -> RunRequest:
    version = kubeflow.upload("shop-training", DIGEST, PIPELINE)
    return RunRequest("shop-training", "a title", version, ARGUMENTS, "by hand")


def test_equal_pipelines_are_one_version(kubeflow: Kubeflow, order: RunRequest) -> None:
    assert kubeflow.upload("shop-training", DIGEST, PIPELINE) == order.version
    assert kubeflow.upload("shop-training", "e" * 64, PIPELINE + "# other\n") != order.version
    assert kubeflow.upload("other-training", DIGEST, PIPELINE) != order.version


def test_a_run_comes_back_as_it_was_started(kubeflow: Kubeflow, order: RunRequest) -> None:
    run = kubeflow.start(order)
    assert (run.title, run.state, run.ended) == ("a title", "PENDING", False)
    assert (run.reason, run.digest, run.arguments) == ("by hand", DIGEST, ARGUMENTS)
    assert (run.url or "").endswith(f"/#/runs/details/{run.run_id}")
    assert kubeflow.spec(run).keys() == {"root"}
    assert run.created.utcoffset() == timedelta(0)
    assert kubeflow.run(run.run_id) == run
    assert list(kubeflow.runs("shop-training")) == [run]


def test_runs_are_listed_by_their_pipeline_and_title(kubeflow: Kubeflow, order: RunRequest) -> None:
    titled = {title: kubeflow.start(replace(order, title=title)).run_id for title in ("one", "two: 2.0")}
    assert {run.run_id for run in kubeflow.runs("shop-training")} == set(titled.values())
    assert [run.run_id for run in kubeflow.runs("shop-training", "two: 2.0")] == [titled["two: 2.0"]]
    assert list(kubeflow.runs("shop-training", "on")) == []
    assert list(kubeflow.runs("shop-scoring")) == []


def test_a_discarded_run_is_as_if_it_had_never_been(kubeflow: Kubeflow, order: RunRequest) -> None:
    kept, discarded = kubeflow.start(order), kubeflow.start(order)
    kubeflow.discard(discarded.run_id)
    assert [run.run_id for run in kubeflow.runs("shop-training")] == [kept.run_id]
    with pytest.raises(NotFoundError):
        kubeflow.run(discarded.run_id)


def test_a_schedule_is_made_paused_resumed_and_removed(kubeflow: Kubeflow, order: RunRequest) -> None:
    assert kubeflow.schedules("shop-training") == []
    made = kubeflow.schedule(order, "0 30 3 * * *")
    assert (made.title, made.cron, made.on, made.arguments) == ("a title", "0 30 3 * * *", True, ARGUMENTS)
    assert made.version_id == order.version.version_id
    kubeflow.switch(made.schedule_id, on=False)
    assert kubeflow.schedules("shop-training") == [replace(made, on=False)]
    kubeflow.switch(made.schedule_id, on=True)
    assert kubeflow.schedules("shop-training") == [made]
    kubeflow.unschedule(made.schedule_id)
    assert kubeflow.schedules("shop-training") == []
