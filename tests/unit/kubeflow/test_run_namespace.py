"""A namespace that refuses the pods of stages, as `adloom submit` and `adloom doctor` tell of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import kfp_server, kubernetes_server
from tests.support.kubernetes_server import NAMESPACE, Cluster

from adloom.config.settings import Settings
from adloom.doctor.checks import kfp as doctor
from adloom.doctor.context import read_context
from adloom.kubeflow.client.base import PipelineRun
from adloom.kubeflow.run_namespace import open_run_namespace

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
MEND = 'set defaultSecurityContextRunAsNonRoot: "true" in the ConfigMap pipeline-install-config'
REFUSED = (
    'Error node training-abcde: pods "training-abcde-impl-1" is forbidden: violates PodSecurity "restricted:latest": '
    'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)'
)
RUN = PipelineRun("run-1", "a title", "RUNNING", datetime.now(UTC) - timedelta(minutes=10), {}, "d1", "by hand")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with kubernetes_server.serving() as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Somebody whose kubectl knows the cluster."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
    return Settings(kfp_namespace=NAMESPACE)


def said(settings: Settings, run: PipelineRun = RUN) -> str:
    namespace = open_run_namespace(settings)
    assert namespace
    return namespace.find_problem(run)


def test_a_namespace_that_will_refuse_stages_is_told_with_what_mends_it(cluster: Cluster, settings: Settings) -> None:
    cluster.labels, cluster.config = RESTRICTED, {"defaultSecurityContextRunAsNonRoot": "false"}
    line = said(settings)
    assert line.startswith("namespace shop: enforces Pod Security restricted, which refuses the stages' pods; ")
    assert MEND in line


@pytest.mark.parametrize(
    ("labels", "config", "forbidden"),
    [
        (RESTRICTED, {"defaultSecurityContextRunAsNonRoot": "true"}, set()),
        ({"pod-security.kubernetes.io/enforce": "baseline"}, {}, set()),
        ({}, {}, set()),
        (RESTRICTED, None, set()),  # KFP lies in another namespace
        (RESTRICTED, {}, {"get configmaps"}),
        (RESTRICTED, {}, {"get namespaces"}),
    ],
)
def test_where_stages_run_or_nobody_knows_nothing_is_said(
    cluster: Cluster, settings: Settings, labels: dict[str, str], config: dict[str, str] | None, forbidden: set[str]
) -> None:
    cluster.labels, cluster.config, cluster.forbidden = labels, config, forbidden
    assert said(settings) == ""


def test_a_refused_pod_is_told_in_the_words_of_its_event(cluster: Cluster, settings: Settings) -> None:
    cluster.warn("Back-off pulling image")
    cluster.warn(REFUSED)
    line = said(settings)
    assert line.startswith('namespace shop: refuses pods: Error node training-abcde: pods "training-abcde-impl-1" is')
    assert MEND in line
    assert "\n" not in line


def test_a_quota_is_told_without_advice_on_pod_security(cluster: Cluster, settings: Settings) -> None:
    cluster.warn('pods "training-abcde-impl-1" is forbidden: exceeded quota: small, requested: cpu=8')
    line = said(settings)
    assert "exceeded quota: small" in line
    assert MEND not in line


def test_an_event_from_before_the_run_and_one_that_may_not_be_read_say_nothing(
    cluster: Cluster, settings: Settings
) -> None:
    cluster.warn(REFUSED, "2026-01-01T00:00:00Z")
    assert said(settings) == ""
    cluster.warn(REFUSED)
    assert said(settings, replace(RUN, created=datetime.now(UTC) + timedelta(hours=1))) == ""
    cluster.forbidden = {"list events"}
    assert said(settings) == ""


def test_without_a_cluster_and_with_one_that_is_gone_nothing_is_said(
    settings: Settings, tmp_path: Path, cluster: Cluster
) -> None:
    assert open_run_namespace(replace_kubeconfig(settings, tmp_path / "absent")) is None
    assert open_run_namespace(Settings(KUBERNETES_SERVICE_HOST="127.0.0.1")) is None  # a pod without a service account
    gone = (tmp_path / "kubeconfig").read_text(encoding="utf-8").replace(cluster.url, "http://127.0.0.1:9")
    (tmp_path / "gone").write_text(gone, encoding="utf-8")
    assert said(replace_kubeconfig(settings, tmp_path / "gone")) == ""


def replace_kubeconfig(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"kubeconfig": str(path)})


def test_the_doctor_tells_of_both(
    cluster: Cluster, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.labels, cluster.config = RESTRICTED, {}
    cluster.warn(REFUSED)
    with kfp_server.serving() as stand_in:
        monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", stand_in.url)
        monkeypatch.setenv("ADLOOM_KFP_NAMESPACE", NAMESPACE)
        found = {finding.name: finding for finding in doctor.check(read_context(tmp_path / "params.yaml"))}
    assert found.keys() == {"kfp-ok", "kfp-restricted", "kfp-pods-refused"}
    assert found["kfp-restricted"].next_step.startswith(MEND)
    assert "violates PodSecurity" in found["kfp-pods-refused"].found
    assert json.dumps(found["kfp-pods-refused"].next_step).startswith('"set default')


@pytest.mark.parametrize(
    ("status", "how"),
    [
        ({"reason": "Evicted", "message": "low on memory"}, "low on memory"),
        ({"reason": "NodeLost"}, "NodeLost"),
        ({}, ""),
    ],
)
def test_failed_pods_say_which_stage_they_were_and_how_it_ended(
    cluster: Cluster, settings: Settings, status: dict[str, str], how: str
) -> None:
    node = "training-abcde.root.exit-handler-1.evaluate.executor"
    for run, path in (("run-1", node), ("run-2", "another")):
        metadata = {
            "name": run, "labels": {"pipeline/runid": run}, "annotations": {"workflows.argoproj.io/node-name": path}
        }  # fmt: skip
        cluster.stages.append({"metadata": metadata, "status": {"phase": "Failed", **status}})
    namespace = open_run_namespace(settings)
    assert namespace
    assert namespace.list_failed_pods("run-1") == {node: how}
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    container = {"name": "main", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": ended}
    cluster.stages[0]["status"]["containerStatuses"] = [container]
    assert namespace.list_failed_pods("run-1") == {node: "OOMKilled, exit code 137"}
