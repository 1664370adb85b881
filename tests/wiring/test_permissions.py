"""The roles in k8s/base grant exactly the permissions that the code uses."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest
import yaml
from kubernetes import client
from tests.support import kfp_server, kubernetes_server
from tests.support.kfp_server import ARGUMENTS, PIPELINE
from tests.support.kubernetes_server import NAMESPACE
from tests.support.rendered_manifests import ROOT

from adloom.config.resources import PodResources
from adloom.config.settings import Settings
from adloom.doctor.checks.kfp import LISTED
from adloom.kubeflow.client.base import RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient
from adloom.kubeflow.jobs.base import Job
from adloom.kubeflow.jobs.trainjob import TrainJobClient
from adloom.kubeflow.run_namespace import RunNamespace

Verbs = set[tuple[str, str]]  # resource and verb
MORE = {"get", "list"}  # verbs that KFP's own client and UI also need


def load_permissions(file: str, groups: set[str]) -> Verbs:
    """Return the permissions of the role in a file, for these API groups."""
    objects = yaml.safe_load_all((ROOT / "k8s" / "base" / file).read_text(encoding="utf-8"))
    (role,) = [item for item in objects if item["kind"] == "Role"]
    rules = [rule for rule in role["rules"] if groups.issuperset(rule["apiGroups"])]
    return {pair for rule in rules for pair in product(rule["resources"], rule["verbs"])}


def list_methods(cls: type) -> set[str]:
    return {name for name, member in vars(cls).items() if callable(member) and not name.startswith("_")}


@pytest.fixture
def kubeflow_permissions() -> Iterator[Verbs]:
    """Call every method of the client on a multi-user Kubeflow; return the permissions it used."""
    with kfp_server.serving() as server:
        server.multi_user = True
        kubeflow = HttpKubeflowClient(Settings(ADLOOM_KFP_ENDPOINT=server.url, kfp_namespace="ann"))
        version = kubeflow.upload_pipeline("shop-training", "d" * 64, PIPELINE)
        request = RunRequest("shop-training", "a title", version, ARGUMENTS, "by hand")
        run, schedule = kubeflow.start_run(request), kubeflow.create_schedule(request, "0 30 3 * * *")
        list(kubeflow.list_runs("shop-training"))
        kubeflow.get_spec(kubeflow.get_run(run.run_id))
        kubeflow.list_schedules("shop-training")
        for enabled in (False, True):
            kubeflow.set_enabled(schedule.schedule_id, enabled)
        kubeflow.delete_schedule(schedule.schedule_id)
        kubeflow.delete_run(run.run_id)
        of_runs = {"upload_pipeline", "start_run", "list_runs", "get_run", "get_spec", "delete_run"}
        assert list_methods(HttpKubeflowClient) == of_runs | {
            "create_schedule",
            "list_schedules",
            "set_enabled",
            "delete_schedule",
        }
        yield server.authorized - {("healthz", "list")} | {(kind, "list") for kind in LISTED}


@pytest.fixture
def kubernetes_permissions() -> Iterator[Verbs]:
    """Call every method of the Kubernetes clients; return the permissions they used."""
    with kubernetes_server.serving() as cluster:
        configuration = client.Configuration(host=cluster.url)
        configuration.retries = False
        api = client.ApiClient(configuration)
        jobs = TrainJobClient(api, NAMESPACE)
        job = Job("train-gan-0", ("train-gan",), 1, 1, "image", PodResources(), {"KFP_RUN_ID": "run-1"})
        jobs.start(job)
        cluster.run(job.name, 1)
        jobs.get_state(job.name)
        list(jobs.read_logs(job.name))
        assert jobs.list_names("run-1") == [job.name]
        jobs.delete(job.name)
        assert list_methods(TrainJobClient) == {"start", "get_state", "read_logs", "list_names", "delete"}
        cluster.labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = RunNamespace(client.CoreV1Api(api), NAMESPACE)
        namespace.find_restriction()
        namespace.find_refusal(datetime.now(UTC))
        namespace.list_failed_pods("run-1")
        assert list_methods(RunNamespace) == {"find_restriction", "find_refusal", "list_failed_pods", "find_problem"}
        yield cluster.authorized


def test_the_submitter_role_grants_the_clients_permissions(kubeflow_permissions: Verbs) -> None:
    allowed = load_permissions("submit.yaml", {"pipelines.kubeflow.org"})
    assert kubeflow_permissions - allowed == set()
    assert {verb for _, verb in allowed - kubeflow_permissions - {("pipelines/versions", "create")}} <= MORE


def test_the_stage_role_grants_exactly_the_used_permissions(kubernetes_permissions: Verbs) -> None:
    assert load_permissions("stages.yaml", {"", "trainer.kubeflow.org"}) == kubernetes_permissions
