"""The commands in docs/how-to/kubernetes.md name existing files, objects and ports."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from scripts import dev_secrets
from tests.support import rendered_manifests
from tests.support.rendered_manifests import ROOT, Rendered
from tests.wiring.test_docs import blocks

from adloom.cli.main import cli
from adloom.doctor.checks import kfp
from adloom.kubeflow.schedule import parse

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
TUTORIAL = ROOT / "docs" / "tutorials" / "kind.md"
TEXT = PAGE.read_text(encoding="utf-8") + TUTORIAL.read_text(encoding="utf-8")
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "cronjob": "CronJob", "service": "Service"}
KUBEFLOWS = {"ml-pipeline", "ml-pipeline-ui"}
MANUAL_SECRETS = {"adloom-tls", "adloom-credentials"}  # which no pod of the overlays reads


@pytest.fixture(scope="module")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_manifests.copy_manifests(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def dev(k8s: Path) -> Rendered:
    return rendered_manifests.render(k8s / "overlays" / "dev")


@pytest.fixture(scope="module")
def prod(k8s: Path) -> Rendered:
    return rendered_manifests.render(k8s / "overlays" / "prod")


def test_either_way_takes_ten_commands() -> None:
    first, managed = (
        block for block in blocks(PAGE, "bash") if "cluster-scoped-resources" in block
    )  # fmt: skip
    assert (len(first.splitlines()), len(managed.splitlines())) == (10, 10)


def test_applied_files_and_run_scripts_exist() -> None:
    for path in re.findall(r"-k (k8s/\S+)", TEXT):
        assert (ROOT / path / "kustomization.yaml").is_file(), path
    for path in re.findall(r"`?((?:k8s|scripts)/[\w./-]+\w)", TEXT):
        assert (ROOT / path).exists() or Path(path).name in dev_secrets.create_secrets(), path


def test_objects_that_commands_name_exist(dev: Rendered) -> None:
    named = set(re.findall(rf"\b({'|'.join(KINDS)})/([\w-]+)", TEXT))
    assert len(named) > 5
    for kind, name in named:
        if name not in KUBEFLOWS:
            assert dev.one(KINDS[kind], name)
    for component in re.findall(r"app.kubernetes.io/component=(\w+)", TEXT):
        assert component in {pod.component for pod in dev.pods}


def test_forwarded_ports_are_ports_of_services(dev: Rendered) -> None:
    for name, port in re.findall(r"port-forward service/(adloom-[\w-]+) \d+:(\d+)", TEXT):
        assert int(port) in {entry["port"] for entry in dev.one("Service", name)["spec"]["ports"]}, name


def test_the_command_inside_a_pod_parses() -> None:
    [line] = re.findall(r"-- (adloom submit .*)", TEXT)
    words = shlex.split(line)
    command = cli.get_command(cli.make_context("adloom", ["params"]), words[1])
    assert command
    options = command.make_context(words[1], words[2:]).params
    assert parse(options["cron"])


def test_the_table_lists_the_secrets_of_the_manifests(dev: Rendered) -> None:
    table = set(re.findall(r"^\| `(adloom[\w-]*)` \|", TEXT, re.MULTILINE))
    secrets = {re.sub("-[a-z0-9]{10}$", "", secret["metadata"]["name"]) for secret in dev.of("Secret")}
    assert table == secrets | MANUAL_SECRETS
    for secret in dev.of("Secret"):
        assert {key for key in secret["data"] if f"`{key}`" not in TEXT} == set()


def test_the_table_lists_the_alerts_of_prometheus(prod: Rendered) -> None:
    [rules] = prod.of("PrometheusRule")
    alerts = [rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    assert re.findall(r"^\| `(Adloom\w+)` \|", TEXT, re.MULTILINE) == alerts


def test_versions_match_the_build() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert set(re.findall(r"adloom-(?:train|serve|\$role):([\w.]+)", TEXT)) == {version[1]}


def test_kubeflow_is_the_version_that_compiles_the_pipelines() -> None:
    [compiled] = re.findall(r'"kfp==([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(re.findall(r"kubeflow/pipelines/manifests/\S+\?ref=([\d.]+)", TEXT)) == {compiled}
    [oldest, newest] = re.findall(r"^\| \| ([\d.]+) to [\d.]+ \| ([\d.]+) \|$", TEXT, re.MULTILINE)[0]
    assert compiled.startswith(f"{newest}.")
    assert oldest == ".".join(map(str, kfp.NEEDED))


def test_kubeflow_settings_are_json(dev: Rendered) -> None:
    [patch] = re.findall(r"patch configmap pipeline-install-config --type=merge -p '(.*)'", TEXT)
    assert json.loads(patch) == {"data": {"defaultSecurityContextRunAsNonRoot": "true"}}
    [config] = blocks(PAGE, "json")
    plugin = json.loads(config)["plugins"]["mlflow"]
    assert plugin["settings"]["injectUserEnvVars"] is True
    assert plugin["endpoint"] == dev.one("ConfigMap", "adloom")["data"]["MLFLOW_TRACKING_URI"]


def test_a_profile_takes_two_changes(tmp_path: Path) -> None:
    overlay = rendered_manifests.copy_manifests(tmp_path) / "overlays" / "prod" / "kustomization.yaml"
    [more] = re.findall(r"kustomization.yaml <<'END'\n(.*?)END\n", TEXT, re.DOTALL)
    written = overlay.read_text(encoding="utf-8").replace("namespace: kubeflow", "namespace: team-a")
    overlay.write_text(written + more)
    profile = rendered_manifests.render(overlay.parent)
    [subject] = profile.one("RoleBinding", "adloom-stages")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "default-editor", "namespace": "team-a"}
    assert "kubeflow" not in yaml.safe_dump([o["metadata"].get("namespace") for o in profile.objects])
