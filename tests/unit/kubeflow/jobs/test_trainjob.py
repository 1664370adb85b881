"""A component whose training is a TrainJob, against a stand-in for the Kubernetes API; its bucket is a folder."""

import logging
import os
import signal
from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kubernetes import client
from tests.conftest import MakeTable
from tests.support import kubernetes_server
from tests.support.kubernetes_server import NAMESPACE, Cluster

from adloom.config.params import TrainLstm
from adloom.config.resources import PodResources, Toleration
from adloom.config.settings import Settings
from adloom.context import StageContext
from adloom.errors import AdloomError, ConfigError, ExternalServiceError
from adloom.kubeflow import distributed
from adloom.kubeflow.jobs.base import Job
from adloom.kubeflow.jobs.trainjob import TrainJobClient
from adloom.kubeflow.jobs.trainjob import build_manifest as trainjob
from adloom.stages.runner import Metrics
from adloom.storage import manifest
from adloom.storage.local import FolderStore

BLOCK = TrainLstm(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.1, nodes=2, devices=2)
PLACE = PodResources(
    cpu="4", memory="8Gi", gpu=2, node_selector={"pool": "gpu"}, tolerations=[Toleration(key="gpu")], timeout_minutes=90
)
IMAGE = "registry.example/train@sha256:0"
JOB = Job("train-lstm-0", ("train-lstm", "--lstm", "s3://shop/lstm"), 2, 2, IMAGE, PLACE, {"KFP_RUN_ID": "run-1"})
ENVIRONMENT = {
    "KUBERNETES_SERVICE_HOST": "127.0.0.1",
    "ADLOOM_IMAGE": IMAGE,
    "ADLOOM_PLACE": PLACE.to_json(),
    "KFP_RUN_ID": "run-1",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with kubernetes_server.serving() as cluster:
        yield cluster


@pytest.fixture
def jobs(cluster: Cluster) -> Iterator[TrainJobClient]:
    configuration = client.Configuration(host=cluster.url)
    configuration.retries = False
    with client.ApiClient(configuration) as api:
        yield TrainJobClient(api, NAMESPACE)


@dataclass
class Component:
    """A component with a table, in a pod; what a job's pods do happens when it looks the next time."""

    folder: Path
    cluster: Cluster
    jobs: TrainJobClient
    context: StageContext
    steps: list[Any] = field(default_factory=list)  # called one after the other, each between two looks

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    def train(self) -> Metrics:
        return distributed.train(
            "train-lstm",
            "shop",
            BLOCK,
            {"copy": self.folder / "data" / "dataset" / "copy"},
            {"lstm": self.folder / "lstm"},
            self.context,
            Settings(),
            self.jobs,
            lambda _: self.steps.pop(0)(),
        )

    @property
    def handed(self) -> Path:
        """Where the jobs of the run are handed their tables."""
        return self.bucket / "jobs" / "run-1"

    @property
    def name(self) -> str:
        (name,) = self.cluster.jobs
        return name

    def run(self) -> None:
        first, second = self.cluster.run(self.name, 2)
        first.log.append("epoch 1")
        second.log.append("said by the second")

    def succeed(self) -> None:
        """Let the first pod write its artifact, and both end."""
        with manifest.draft(self.handed / self.name / "lstm", "train_lstm", BLOCK, {}) as made:
            made.write_json("history.json", {"loss": [[1, 2.0], [2, 1.5]]})
        self.cluster.pods[f"{self.name}-node-0-0-abcde"].log.append("epoch 2")
        for pod in self.cluster.pods.values():
            self.cluster.end(pod, 0)
        self.cluster.conclude(self.name, "Complete")


@pytest.fixture
def component(
    cluster: Cluster,
    jobs: TrainJobClient,
    context: StageContext,
    make_table: MakeTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Component:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]}))
    caplog.set_level(logging.INFO, "adloom")
    world = replace(context, store=FolderStore(), checkpoint_uri=str(tmp_path / "bucket"))
    return Component(tmp_path, cluster, jobs, replace(world, store=Fetching()))


class Fetching(FolderStore):
    """A bucket whose folders are copied when they are fetched."""

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        self.push(Path(uri), str(folder))
        return folder


def test_what_is_sent_is_a_trainjob_of_the_sdk_and_holds_no_secret() -> None:
    from kubeflow_trainer_api import models

    sent = trainjob(JOB)
    known = models.TrainerV1alpha1TrainJob.from_dict(sent)
    assert known is not None
    assert known.to_dict() == sent
    spec, trainer = sent["spec"], sent["spec"]["trainer"]
    assert sent["metadata"]["labels"]["pipeline/runid"] == "run-1"
    assert (spec["runtimeRef"]["name"], spec["activeDeadlineSeconds"]) == ("adloom-torch", 5400)
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (IMAGE, 2, 2)
    assert [*trainer["command"], *trainer["args"]] == ["adloom", "train-lstm", "--lstm", "s3://shop/lstm"]
    wanted = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2"}
    assert trainer["resourcesPerNode"] == {"requests": wanted, "limits": wanted}
    given = {entry["name"]: entry for entry in trainer["env"]}
    assert [name for name, entry in given.items() if "value" in entry] == ["KFP_RUN_ID"]
    key = {"name": "adloom", "key": "AWS_SECRET_ACCESS_KEY", "optional": True}
    assert given["AWS_SECRET_ACCESS_KEY"]["valueFrom"] == {"secretKeyRef": key}
    assert given["ADLOOM_CHECKPOINT_URI"]["valueFrom"]["configMapKeyRef"]["name"] == "adloom"
    (node,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]
    assert node["name"] == "node"
    assert pod["metadata"]["labels"] == {
        "app.kubernetes.io/part-of": "adloom",
        "app.kubernetes.io/component": "training",
    }
    assert pod["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert pod["spec"]["tolerations"] == [{"key": "gpu", "effect": "NoSchedule", "operator": "Exists"}]


def test_a_component_waits_for_its_job_tells_what_it_says_and_takes_its_artifact(
    component: Component, caplog: pytest.LogCaptureFixture
) -> None:
    component.steps = [component.run, lambda: None, component.succeed, lambda: None]
    assert component.train() == {"loss": 1.5}
    name = component.cluster.changes[0].removeprefix("create ")
    assert component.cluster.changes == [f"create {name}", f"delete {name}"]
    assert caplog.messages == [f"{name}: started on 2 nodes with 2 processes each", "epoch 1", "epoch 2"]
    assert manifest.verify(component.folder / "lstm").stage == "train_lstm"
    assert list(component.handed.iterdir()) == []


def test_a_job_that_failed_is_told_with_its_pod_and_its_last_line(component: Component) -> None:
    def fail() -> None:
        first, second = component.cluster.pods.values()
        second.log += ["Traceback of a library", "adloom: copy: 0 lines in split train, expected at least 1"]
        first.log.append("adloom: unexpected RuntimeError: Connection closed by peer")
        component.cluster.end(first, 1)
        component.cluster.end(second, 2)
        component.cluster.conclude(component.name, "Failed", "BackoffLimitExceeded", "Job has failed")

    component.steps = [component.run, fail]
    wanted = r"^train-lstm-\w{16} failed: pod train-lstm-\w{16}-node-0-1-abcde: copy: 0 lines in split train, expected"
    with pytest.raises(AdloomError, match=wanted):
        component.train()
    assert component.cluster.jobs == {}
    assert list(component.handed.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"code": 137, "reason": "OOMKilled"}, "OOMKilled; give its stage more memory in pipeline.stages"),
        ({"code": 139}, "Error, exit code 139"),
        ({"code": 2, "message": "adloom: from the termination log"}, "from the termination log"),
    ],
)
def test_why_a_pod_ended_is_said_as_far_as_it_is_known(
    end: dict[str, Any], said: str, cluster: Cluster, jobs: TrainJobClient
) -> None:
    jobs.start(JOB)
    cluster.end(cluster.run(JOB.name, 1)[0], **end)
    cluster.conclude(JOB.name, "Failed", "BackoffLimitExceeded")
    assert jobs.get_state(JOB.name).reason == f"pod train-lstm-0-node-0-0-abcde: {said}"


def test_an_oom_ends_the_job_at_once_for_the_next_pods_would_have_no_more_memory(component: Component) -> None:
    def run_out() -> None:
        first, second = component.cluster.pods.values()
        component.cluster.end(first, 1, message="adloom: unexpected RuntimeError: Connection closed by peer")
        component.cluster.end(second, 137, "OOMKilled")

    component.steps = [component.run, run_out]
    with pytest.raises(AdloomError, match=r"failed: pod .*-node-0-1-abcde: OOMKilled; give its stage more memory"):
        component.train()
    assert component.cluster.jobs == {}  # though Kubernetes would have started its pods again


def test_a_job_whose_pods_are_started_again_says_which_ended_and_why(
    component: Component, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(suffix: str, code: int) -> None:
        first, second = (pod for name, pod in component.cluster.pods.items() if name.endswith(suffix))
        component.cluster.end(first, 1, message="adloom: unexpected RuntimeError: Connection closed by peer")
        component.cluster.end(second, code)

    def again() -> None:
        pods = [component.cluster.again(pod) for pod in [*component.cluster.pods.values()]]
        pods[0].log.append("goes on after epoch 1")

    def succeed() -> None:
        component.succeed()
        component.cluster.pods[f"{component.name}-node-0-0-fghij"].log.append("epoch 3")

    component.steps = [component.run, lambda: lose("abcde", 137), lambda: None, again, lambda: lose("fghij", 139)]
    component.steps += [lambda: None, succeed]
    assert component.train() == {"loss": 1.5}
    said = [message.partition(": ")[2] for message in caplog.messages if "restart from" in message]
    assert [line.partition("-node-")[2] for line in said] == [
        "0-1-abcde: Error, exit code 137; its pods restart from the last checkpoint",
        "0-1-fghij: Error, exit code 139; its pods restart from the last checkpoint",
    ]
    assert "goes on after epoch 1" in caplog.messages


def test_a_job_without_pods_says_what_the_cluster_says(cluster: Cluster, jobs: TrainJobClient) -> None:
    jobs.start(JOB)
    cluster.conclude(JOB.name, "Failed", "DeadlineExceeded", "exceeded its deadline")
    assert jobs.get_state(JOB.name).reason == "DeadlineExceeded: exceeded its deadline"


def test_a_pod_that_cannot_start_is_told_once(component: Component, caplog: pytest.LogCaptureFixture) -> None:
    def stick() -> None:
        for pod in component.cluster.run(component.name, 2):
            pod.phase = "Pending"
            pod.state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}

    def go() -> None:
        component.cluster.pods = {}
        component.run()

    component.steps = [stick, lambda: None, lambda: None, go, component.succeed]
    component.train()
    waits = [message for message in caplog.messages if "waits" in message]
    assert len(waits) == 1
    assert waits[0].endswith("-node-0-0-abcde: ImagePullBackOff: no such image")


def test_a_component_that_was_killed_joins_its_own_job(component: Component, caplog: pytest.LogCaptureFixture) -> None:
    kept: dict[str, Any] = {}

    def end() -> None:
        kept.update(deepcopy(component.cluster.jobs))
        raise KeyboardInterrupt

    component.steps = [component.run, end]
    with pytest.raises(KeyboardInterrupt):
        component.train()
    component.cluster.jobs, component.cluster.changes = kept, []  # as if nobody had cleaned up
    component.steps = [component.run, component.succeed]
    assert component.train() == {"loss": 1.5}
    assert "exists already" in caplog.text
    assert [change.split()[0] for change in component.cluster.changes] == ["delete"]


def test_an_old_job_that_failed_is_replaced_once_it_is_gone(component: Component) -> None:
    component.steps = [component.run, lambda: component.cluster.conclude(component.name, "Failed")]
    component.cluster.lingers = True
    with pytest.raises(AdloomError, match="failed"):
        component.train()
    name = component.name
    component.cluster.changes.clear()

    def gone() -> None:
        component.cluster.vanish(name)
        component.cluster.lingers = False

    component.steps = [lambda: None, gone, component.run, component.succeed]
    assert component.train() == {"loss": 1.5}
    assert component.cluster.changes == [f"create {name}", f"delete {name}"]


def test_a_job_that_is_deleted_meanwhile_is_not_waited_for(component: Component) -> None:
    component.steps = [component.run, lambda: component.cluster.vanish(component.name)]
    with pytest.raises(AdloomError, match="was deleted .*; start the pipeline again"):
        component.train()


def test_a_pod_that_is_ended_deletes_its_job(component: Component) -> None:
    component.steps = [component.run, lambda: os.kill(os.getpid(), signal.SIGTERM)]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        component.train()
    assert ended.value.code == 143
    assert component.cluster.jobs == {}
    assert list(component.handed.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_log_that_is_not_to_be_had_costs_nothing(component: Component, caplog: pytest.LogCaptureFixture) -> None:
    def fall_silent() -> None:
        component.run()
        for pod, code in zip(component.cluster.pods.values(), (400, 404), strict=True):
            pod.silent = code

    def fail() -> None:
        first, second = component.cluster.pods.values()
        component.cluster.end(first, 143)
        component.cluster.end(second, 139)
        component.cluster.conclude(component.name, "Failed")

    component.steps = [fall_silent, fail]
    with pytest.raises(AdloomError, match="-node-0-1-abcde: Error, exit code 139"):
        component.train()
    assert "is waiting to start; " in caplog.text


def test_a_cluster_that_is_away_for_a_while_is_waited_for(
    component: Component, caplog: pytest.LogCaptureFixture
) -> None:
    component.steps = [component.run, lambda: setattr(component.cluster, "broken", 3), *[lambda: None] * 3]
    component.steps.append(component.succeed)
    assert component.train() == {"loss": 1.5}
    assert "the cluster answered 500: etcdserver: leader changed; " in caplog.text


def test_a_job_that_cannot_be_deleted_costs_nothing_and_is_named(
    component: Component, caplog: pytest.LogCaptureFixture
) -> None:
    component.cluster.forbidden = {"delete trainjobs"}
    component.steps = [component.run, component.succeed]
    assert component.train() == {"loss": 1.5}
    assert f"`kubectl delete trainjob {component.name}` " in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"installed": False},
            "the cluster knows no trainjobs .*; install Kubeflow Trainer, docs/how-to/kubeflow.md says how",
        ),
        ({"runtimes": set()}, "no TrainingRuntime adloom-torch in shop; apply k8s/components/trainer, which has it"),
        ({"forbidden": {"get trainjobs"}}, "this pod may not get trainjobs in shop: .*; grant it as k8s/base does"),
        ({"forbidden": {"create trainjobs"}}, "this pod may not create trainjobs in shop"),
        ({"forbidden": {"get trainingruntimes"}}, "this pod may not get trainingruntimes"),
    ],
)
def test_a_cluster_that_was_not_prepared_is_told_in_a_line(
    change: dict[str, Any], said: str, component: Component
) -> None:
    for name, value in change.items():
        setattr(component.cluster, name, value)
    with pytest.raises(ConfigError, match=rf"^train-lstm-\w{{16}}: {said}"):
        component.train()
    assert component.cluster.jobs == {}


def test_a_cluster_that_is_gone_is_told_in_a_line(component: Component) -> None:
    gone = client.Configuration(host="http://127.0.0.1:9")
    gone.retries = False
    component.jobs = TrainJobClient(client.ApiClient(gone), NAMESPACE)
    with pytest.raises(ExternalServiceError, match="no answer from the cluster"):
        component.train()


def test_a_pod_that_was_not_told_its_image_says_how_it_is(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADLOOM_PLACE")
    with pytest.raises(ConfigError, match="ADLOOM_IMAGE and ADLOOM_PLACE: not set in this pod.*`adloom submit`"):
        component.train()
