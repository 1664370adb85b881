"""The last task of a run, against Kubeflow's server, a Kubernetes with Trainer, a database of MLflow and a webhook."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from tests.support import kfp_server, kubernetes_server
from tests.support.kfp_server import StandIn
from tests.support.kubernetes_server import NAMESPACE, Cluster
from tests.support.webhook import webhook

from adloom.config.settings import Settings
from adloom.kubeflow import compiled_pipelines, component_runtime, distributed
from adloom.kubeflow.client.base import RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient
from adloom.kubeflow.jobs.trainjob import TrainJobClient
from adloom.retry import RetryPolicy
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import ParentRun

ROOT = Path(__file__).parents[2]


@dataclass
class Ending:
    """A run on the server, its parent in MLflow, and what the webhook was told."""

    run: str
    kfp: StandIn
    parent: ParentRun
    mlflow: MlflowConnection
    messages: list[dict[str, Any]] = field(default_factory=list)

    def finish(self, state: str, message: str | None = None) -> dict[str, Any]:
        """Call the last task with what KFP tells it; return what the webhook is told then."""
        component_runtime.finish("shop", "a name", state, message, RetryPolicy(pauses=()))
        assert self.messages[-1].keys() == {"project", "run", "state", "message"}
        assert isinstance(self.messages[-1]["message"], str)
        assert self.messages[-1]["message"]
        assert self.status == self.messages[-1]["state"]
        return self.messages[-1]

    @property
    def status(self) -> str:
        return str(self.mlflow.client.get_run(self.parent(self.mlflow)).info.status)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with webhook() as found:
        yield found


@pytest.fixture
def ending(
    database: str, hook: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ending]:
    monkeypatch.chdir(tmp_path)
    with kfp_server.serving() as kfp:
        over = HttpKubeflowClient(Settings(ADLOOM_KFP_ENDPOINT=kfp.url))
        compiled = compiled_pipelines.load_pipeline("training", ROOT / compiled_pipelines.FOLDER)
        arguments = dict.fromkeys(compiled.pipeline["root"]["inputDefinitions"]["parameters"], "")
        version = over.upload_pipeline("shop-training", compiled.digest(), compiled.to_yaml())
        run = over.start_run(RunRequest("shop-training", "a title", version, arguments, "by hand")).run_id
        kfp.advance(run, "RUNNING")
        given = {"KFP_RUN_ID": run, "ADLOOM_KFP_ENDPOINT": kfp.url, "ADLOOM_WEBHOOK_URL": hook[0]}
        for name, value in (given | {"MLFLOW_TRACKING_URI": database}).items():
            monkeypatch.setenv(name, value)
        parent, mlflow = ParentRun(None, run), MlflowConnection(database, "shop")
        parent.start(mlflow, "by hand")
        yield Ending(run, kfp, parent, mlflow, hook[1])


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED"])
def test_a_run_that_succeeded(ending: Ending, state: str) -> None:
    told = {"project": "shop", "run": ending.run, "state": "FINISHED", "message": "the run succeeded"}
    assert ending.finish(state) == told


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "PENDING", "a word of tomorrow", ""])
def test_a_run_whose_driver_died_names_the_task(ending: Ending, state: str) -> None:
    """KFP 2.17 tells RUNNING and no error then."""
    ending.kfp.advance(ending.run, "RUNNING", driver="evaluate", segment="SUCCEEDED")
    told = ending.finish(state)
    assert told["state"] == "FAILED"
    assert told["message"].startswith("failed at evaluate (its driver): the server does not say why")


def test_a_failed_task_is_named_with_what_the_server_says(ending: Ending) -> None:
    ending.kfp.advance(ending.run, "RUNNING", why="exit code 2", prepare_3="FAILED")
    assert ending.finish("FAILED")["message"] == "failed at prepare events: exit code 2"


def test_what_kfp_tells_its_exit_handler_is_told_where_the_server_knows_no_more(ending: Ending) -> None:
    ending.kfp.advance(ending.run, "RUNNING", prepare_3="FAILED")
    assert ending.finish("FAILED", "no quota")["message"] == "failed at prepare events: no quota"


def test_a_run_that_was_deleted_meanwhile_ends_in_mlflow(ending: Ending) -> None:
    HttpKubeflowClient(Settings()).delete_run(ending.run)
    assert ending.finish("RUNNING")["state"] == "FAILED"


def test_a_run_that_was_terminated_is_killed(ending: Ending) -> None:
    """KFP tells RUNNING, the server says CANCELING."""
    ending.kfp.advance(ending.run, "CANCELING", prepare_3="RUNNING")
    assert ending.finish("RUNNING") == {
        "project": "shop", "run": ending.run, "state": "KILLED", "message": "the run was terminated"
    }  # fmt: skip


@pytest.mark.parametrize(("state", "ended"), [("RUNNING", "FAILED"), ("CANCELED", "KILLED"), ("CANCELLED", "KILLED")])
def test_without_kubeflow_the_run_ends_all_the_same(
    ending: Ending, monkeypatch: pytest.MonkeyPatch, state: str, ended: str
) -> None:
    monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", "http://127.0.0.1:9")
    told = ending.finish(state)
    assert told["state"] == ended
    assert "Kubeflow was not asked which task failed: " in told["message"]
    assert "Connection refused" in told["message"]
    assert len(told["message"]) <= 500


def test_mlflow_is_tried_again(ending: Ending) -> None:
    pauses, place = list[float](), Path(ending.mlflow.uri.removeprefix("sqlite:///"))
    away = place.rename(place.with_suffix(".away"))
    place.mkdir()  # a folder is no database

    def mend(seconds: float) -> None:
        pauses.append(seconds)
        place.rmdir()
        away.rename(place)

    component_runtime.finish("shop", "a name", "FAILED", None, RetryPolicy(sleep=mend))
    assert pauses == [30]
    assert ending.status == ending.messages[-1]["state"] == "FAILED"


@pytest.fixture
def cluster(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A Kubernetes that the last task asks, in which the run left two TrainJobs and another run one."""
    with kubernetes_server.serving() as cluster:
        configuration = client.Configuration(host=cluster.url)
        configuration.retries = False
        jobs = TrainJobClient(client.ApiClient(configuration), NAMESPACE)
        monkeypatch.setattr(distributed, "open_job_client", lambda _settings: jobs)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        for name, run in (("train-gan-0", ending.run), ("train-cnn-0", ending.run), ("train-gan-1", "another")):
            cluster.jobs[name] = {"metadata": {"name": name, "labels": {"pipeline/runid": run}}}
        yield cluster


def test_the_trainings_of_a_terminated_run_are_deleted(
    ending: Ending, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adloom")
    monkeypatch.setenv("ADLOOM_CHECKPOINT_URI", str(tmp_path / "bucket"))
    handed = {run: tmp_path / "bucket" / "jobs" / run / "train-gan-0" for run in (ending.run, "another")}
    for folder in handed.values():
        folder.mkdir(parents=True)
    ending.kfp.advance(ending.run, "CANCELING")
    assert ending.finish("RUNNING")["state"] == "KILLED"
    assert cluster.changes == ["delete train-gan-0", "delete train-cnn-0"]
    assert [*cluster.jobs] == ["train-gan-1"]
    assert not handed[ending.run].exists()
    assert handed["another"].exists()
    assert "train-gan-0: deleted" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"forbidden": {"list trainjobs"}}, "may not list trainjobs"),
        ({"forbidden": {"delete trainjobs"}}, "may not delete trainjobs"),
        ({"broken": 1}, "the cluster answered 500"),
        ({"installed": False}, ""),
    ],
)
def test_what_cannot_be_deleted_is_said_and_the_run_ends_all_the_same(
    ending: Ending, cluster: Cluster, caplog: pytest.LogCaptureFixture, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(cluster, name, value)
    assert ending.finish("FAILED")["state"] == "FAILED"
    assert said in caplog.text
    assert bool(said) == (f"`kubectl delete trainjob -l pipeline/runid={ending.run}`" in caplog.text)


def test_a_pod_without_a_service_account_ends_its_run(
    ending: Ending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    assert ending.finish("FAILED")["state"] == "FAILED"
    assert "this pod has no service account" in caplog.text
