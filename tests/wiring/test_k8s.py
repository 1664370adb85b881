"""The manifests: every combination renders to valid objects, and pods have minimal permissions."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions
from pydantic import BaseModel, ConfigDict, Field
from tests.support import rendered_manifests
from tests.support.rendered_manifests import ROOT, Object, Pods, Rendered

from adloom.config import params
from adloom.config.settings import Settings
from adloom.kubeflow import compiled_pipelines
from adloom.kubeflow.jobs import trainjob

VERSIONS = sorted({v.rpartition(".")[0] for v in all_versions()}, key=lambda v: int(v[2:]))
VERSIONS = VERSIONS[VERSIONS.index("1.31") :]
OVERLAYS = ("dev", "prod")
BOUNDED = {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}  # volumes with a size
PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
VERSION = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
OTHERS = {  # variables of other programs
    "boto3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_MAX_ATTEMPTS", "AWS_DEFAULTS_MODE"},
    "MLflow": {
        "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        "MLFLOW_DISABLE_TELEMETRY",
    },
    "PostgreSQL's image": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"},
}  # fmt: skip


class Strict(BaseModel):
    """The used fields of the Prometheus Operator's objects; other fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Endpoint(Strict):
    port: str
    path: str
    interval: str


class Monitor(Strict):
    selector: dict[str, Any]
    endpoints: list[Endpoint]


class Alert(Strict):
    alert: str
    expr: str
    wait: str = Field("0m", alias="for")
    labels: dict[str, str]
    annotations: dict[str, str]


class Group(Strict):
    name: str
    rules: list[Alert]


class Rules(Strict):
    groups: list[Group]


CUSTOM: dict[str, type[BaseModel]] = {"ServiceMonitor": Monitor, "PrometheusRule": Rules}


@pytest.fixture(scope="module")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_manifests.copy_manifests(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def everything(k8s: Path) -> Mapping[str, Rendered]:
    return rendered_manifests.render_all(k8s)


@pytest.fixture(scope="module")
def distinct(everything: Mapping[str, Rendered]) -> list[Object]:
    """Return the distinct objects of all renderings."""
    return [
        json.loads(text) for text in {json.dumps(o, sort_keys=True) for r in everything.values() for o in r.objects}
    ]


@pytest.fixture(scope="module")
def pods(distinct: list[Object]) -> list[Pods]:
    return Rendered("all", distinct).pods


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, everything: Mapping[str, Rendered]) -> Rendered:
    return everything[request.param]


def test_every_combination_is_rendered(everything: Mapping[str, Rendered]) -> None:
    names = ["trainer", "spark", "network-policies", "monitoring", "mlflow-plugin", "mlflow", "library-volume"]
    names += ["ingress", "gpu", "credentials", "bundle-cache"]
    assert names == rendered_manifests.COMPONENTS
    of = {name: [r for r in everything if r.partition("+")[0] == name] for name in ("base", "dev", "prod")}
    assert {name: len(renderings) for name, renderings in of.items()} == {"base": 52, "dev": 17, "prod": 7}


@pytest.mark.parametrize("name", ["creatives", "decide"])
def test_the_library_volume_holds_database_and_files(everything: Mapping[str, Rendered], name: str) -> None:
    spec = everything["base+library-volume"].one("Deployment", f"adloom-{name}")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    variables = {item["name"]: item.get("value") for item in container["env"]}
    assert len(variables) == len(container["env"])
    [mount] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "library"]
    library = Settings(library_url=variables["ADLOOM_LIBRARY_URL"], library_files=variables["ADLOOM_LIBRARY_FILES"])
    assert library.library_url
    assert library.library_url.get_secret_value() == f"sqlite:///{mount}/library.db"
    assert library.library_files == f"{mount}/library"
    assert {"name": "library", "persistentVolumeClaim": {"claimName": "adloom-library"}} in spec["volumes"]


def test_driver_and_executors_of_spark_read_one_volume(everything: Mapping[str, Rendered]) -> None:
    spec = everything["base+spark"].one("SparkApplication", "adloom-segment")["spec"]
    assert (
        spec["driver"]["volumeMounts"] == spec["executor"]["volumeMounts"] == [{"name": "work", "mountPath": "/work"}]
    )
    paths = dict(zip(spec["arguments"][1::2], spec["arguments"][2::2], strict=True))
    assert paths.keys() == {"--params", "--events", "--audience"}
    assert all(path.startswith("/work/") for path in paths.values())
    assert spec["mainApplicationFile"].endswith("/adloom/__main__.py")
    assert spec["driver"]["env"] == [{"name": "TMPDIR", "value": "/work"}], "executors write below it"
    assert spec["sparkVersion"] == version("pyspark")


@pytest.mark.parametrize("components", [["gpu"], ["gpu", "trainer"]])
def test_gpus_need_an_earlier_runtime(k8s: Path, components: list[str]) -> None:
    with pytest.raises(AssertionError, match="TrainingRuntime.*adloom-torch"):
        rendered_manifests.render(rendered_manifests.combine(k8s, "base", *components))


def test_kubeflows_plugin_needs_the_policies(k8s: Path) -> None:
    with pytest.raises(AssertionError, match="NetworkPolicy.*adloom-mlflow"):
        rendered_manifests.render(rendered_manifests.combine(k8s, "base", "mlflow", "mlflow-plugin"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str, distinct: list[Object], monkeypatch: pytest.MonkeyPatch) -> None:
    read_schema_once = cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read_schema_once)
    known = [item for item in distinct if item["kind"] not in {*CUSTOM, "TrainingRuntime", "SparkApplication"}]
    assert len(known) > 50
    for item in known:
        kubernetes_validate.validate(item, version, strict=True)


def test_custom_objects_have_the_fields_of_their_kind(distinct: list[Object]) -> None:
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainingRuntime  # a second of imports

    runtimes = [item for item in distinct if item["kind"] == "TrainingRuntime"]
    assert runtimes
    for item in runtimes:
        assert TrainerV1alpha1TrainingRuntime.from_dict(item).to_dict() == item
    assert {item["kind"] for item in distinct if item["kind"] in CUSTOM} == set(CUSTOM)
    for item in distinct:
        if model := CUSTOM.get(item["kind"]):
            model.model_validate(item["spec"])


def test_trainer_finds_the_runtime(everything: Mapping[str, Rendered]) -> None:
    for name, expected in {"base+trainer": "adloom-train", "base+trainer+gpu": "adloom-train-gpu"}.items():
        runtime = everything[name].one("TrainingRuntime", trainjob.RUNTIME)
        assert runtime["metadata"]["labels"]["trainer.kubeflow.org/framework"] == "torch"
        [job] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        assert job["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
        assert job["template"]["spec"]["backoffLimit"] == 3  # documented in docs/how-to/kubeflow.md
        [pod] = everything[name].pods[-1:]
        assert pod.labels == trainjob.LABELS
        [container] = pod.containers
        assert (job["name"], container["name"]) == ("node", "node")
        assert container["image"].rpartition(":")[0] == expected
        assert container["resources"]["limits"].get("nvidia.com/gpu") == ("1" if "gpu" in name else None)
        assert bool(pod.spec.get("tolerations")) == bool(pod.spec.get("nodeSelector")) == ("gpu" in name)


def test_objects_have_our_name_and_label(everything: Mapping[str, Rendered]) -> None:
    for rendering in everything.values():
        names = [(o["apiVersion"], o["kind"], o["metadata"]["name"]) for o in rendering.objects]
        assert len(set(names)) == len(names), rendering.name
        assert {name for *_, name in names if name != "adloom" and not name.startswith("adloom-")} == set()
        assert {o["metadata"]["labels"]["app.kubernetes.io/part-of"] for o in rendering.objects} == {"adloom"}
        assert {o["kind"] for o in rendering.objects}.isdisjoint({"Namespace", "ClusterRole", "ClusterRoleBinding"})
        assert {pod.labels["app.kubernetes.io/part-of"] for pod in rendering.pods} == {"adloom"}
        assert len({pod.component for pod in rendering.pods}) == len(rendering.pods)


def test_pods_are_locked_down(pods: list[Pods]) -> None:
    for pod in pods:
        whole = pod.spec["securityContext"]
        assert whole["runAsNonRoot"] is True, pod.owner
        assert whole["runAsUser"] > 0, pod.owner
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        assert pod.spec["automountServiceAccountToken"] is False, pod.owner
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod.spec), pod.owner
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, pod.owner


def test_pods_have_requests_and_limits(pods: list[Pods]) -> None:
    for pod in pods:
        for container in pod.containers:
            for limits in (container["resources"]["requests"], container["resources"]["limits"]):
                assert {"cpu", "memory"} <= set(limits), pod.owner
        for volume in pod.spec["volumes"]:
            assert set(volume) & BOUNDED, f"{pod.owner}: {volume['name']}"
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": None}), f"{pod.owner}: {volume['name']}"


def test_servers_have_three_probes(pods: list[Pods]) -> None:
    servers = [(pod, container) for pod in pods for container in pod.containers if container.get("ports")]
    components = {pod.component for pod, _ in servers}
    assert components == {"decide", "creatives", "trigger", "watch", "mlflow", "postgres", "s3"}
    for pod, container in servers:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe].get("httpGet", {}).get("port", *ports) in ports, f"{pod.owner}: {probe}"


def test_a_service_that_waits_for_models_is_not_restarted(pods: list[Pods]) -> None:
    for pod in (pod for pod in pods if pod.component in {"decide", "creatives"}):
        [container] = pod.containers
        paths = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
        assert set(paths.values()) == {"/livez"}, pod.owner
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_images_are_pinned(pods: list[Pods]) -> None:
    assert VERSION
    for image in {container["image"] for pod in pods for container in pod.containers}:
        tag = re.fullmatch(r"[a-z0-9./-]+:(\d+[\d.]+)", image)
        assert tag, image
        assert tag[1] == VERSION[1] or "adloom" not in image, image


def test_secrets_are_only_in_secrets(everything: Mapping[str, Rendered], pods: list[Pods]) -> None:
    secret = re.compile("(KEY|SECRET|PASSWORD|TOKEN|STORE_URI|WEBHOOK)(?!S_FILE)")
    literal = {e["name"] for pod in pods for c in pod.containers for e in c.get("env", []) if "value" in e}
    configured = {key for r in everything.values() for item in r.of("ConfigMap") for key in item["data"]}
    paths = {"ADLOOM_CREDENTIALS_KEY"}  # of a file in a Secret
    assert {name for name in literal | configured if secret.search(name)} - paths == set()
    assert {r.name for r in everything.values() if r.of("Secret")} == {n for n in everything if n.startswith("dev")}


def test_generated_secrets_are_kept_and_ignored_by_git(k8s: Path) -> None:
    written = [*(k8s / "overlays" / "dev").glob("*.env"), k8s / "overlays" / "dev" / "s3.json"]
    assert len(written) == 4
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    before = [path.read_text(encoding="utf-8") for path in written]
    subprocess.run([k8s.parent / "scripts" / "dev_secrets.py"], check=True, capture_output=True)
    assert [path.read_text(encoding="utf-8") for path in written] == before
    relative = [str(path.relative_to(k8s.parent)) for path in written]
    ignored = subprocess.run(["git", "check-ignore", *relative], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == relative


def test_secrets_are_generated_only_together(tmp_path: Path) -> None:
    k8s = rendered_manifests.copy_manifests(tmp_path)
    (k8s / "overlays" / "dev" / "s3.json").unlink()
    script = k8s.parent / "scripts" / "dev_secrets.py"
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "adloom.env" in done.stderr
    assert not (k8s / "overlays" / "dev" / "s3.json").exists()


def test_references_of_pods_exist(overlay: Rendered) -> None:
    """ConfigMaps must be in the rendering; secrets from outside git must be documented."""
    for pod in overlay.pods:
        if account := pod.spec.get("serviceAccountName"):
            assert overlay.one("ServiceAccount", account)
        for kind, name, key in references(pod):
            if kind == "Secret" and not overlay.of("Secret"):
                assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE), f"{pod.owner}: {name}"
                assert not key or f"`{key}`" in PAGE, f"{pod.owner}: {key}"
                continue
            item = overlay.one(kind, name)
            assert not key or key in item["data"] or key in OPTIONAL, f"{pod.owner}: {kind} {name} {key}"
            assert item["metadata"]["name"] == name


OPTIONAL = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "ADLOOM_LIBRARY_URL"}  # where they are needed


def references(pod: Pods) -> Iterator[tuple[str, str, str | None]]:
    """Yield (kind, name, key) of every ConfigMap and Secret."""
    for container in pod.containers:
        yield from (("ConfigMap", source["configMapRef"]["name"], None) for source in container.get("envFrom", []))
        for source in (variable.get("valueFrom", {}) for variable in container.get("env", [])):
            for field, ref in source.items():
                yield {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}[field], ref["name"], ref["key"]
    for volume in pod.spec["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None


def test_mounts_name_volumes(pods: list[Pods], distinct: list[Object]) -> None:
    claimed = {
        item["metadata"]["name"]: {claim["metadata"]["name"] for claim in item["spec"]["volumeClaimTemplates"]}
        for item in distinct
        if item["kind"] == "StatefulSet"
    }
    for pod in pods:
        volumes = {volume["name"] for volume in pod.spec["volumes"]} | claimed.get(pod.owner, set())
        assert {mount["name"] for c in pod.containers for mount in c["volumeMounts"]} == volumes, pod.owner


def test_variables_are_known_settings(everything: Mapping[str, Rendered], pods: list[Pods]) -> None:
    known = set().union(*OTHERS.values())
    for name, field in Settings.model_fields.items():
        aliases = getattr(field.validation_alias, "choices", [f"ADLOOM_{name.upper()}"])
        known |= {str(alias) for alias in aliases}
    variables = {variable["name"] for pod in pods for c in pod.containers for variable in c.get("env", [])}
    for rendering in everything.values():
        variables |= set(rendering.one("ConfigMap", "adloom")["data"])
    assert variables - known == set()


def test_stages_find_their_keys(overlay: Rendered) -> None:
    """Keys that the compiled pipelines read exist, or are documented as optional."""
    expected: set[str] = set()
    for name in compiled_pipelines.NAMES:
        pods = compiled_pipelines.load_pipeline(name, ROOT / compiled_pipelines.FOLDER).platform["platforms"][
            "kubernetes"
        ]["deploymentSpec"]
        for executor in pods["executors"].values():
            ours = [one for one in executor.get("secretAsEnv", []) if one["secretName"] == "adloom"]
            for source in [*executor.get("configMapAsEnv", []), *ours]:
                expected |= {pair.get("secretKey") or pair["configMapKey"] for pair in source["keyToEnv"]}
    there = set(overlay.one("ConfigMap", "adloom")["data"])
    there |= {key for item in overlay.of("Secret") if item["metadata"]["name"] == "adloom" for key in item["data"]}
    assert {key for key in expected - there if f"`{key}`" not in PAGE} == set()


def test_params_load_and_name_the_running_image(everything: Mapping[str, Rendered], tmp_path: Path) -> None:
    assert VERSION
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name in ("base", *OVERLAYS):
        text = everything[name].one("ConfigMap", "adloom-params")["data"]["params.yaml"]
        (tmp_path / f"{name}.yaml").write_text(text)
        image = params.load(tmp_path / f"{name}.yaml").pipeline.image
        [trigger] = [pod for pod in everything[name].pods if pod.component == "trigger"]
        assert image == trigger.containers[0]["image"]
        values = yaml.safe_load(text)
        values["pipeline"].pop("image", None)
        assert values == shipped, f"{name}: differs from params.yaml"
        brand = everything[name].one("ConfigMap", "adloom-brand")["data"]["brand.yaml"]
        assert brand == (ROOT / "src/adloom/starter/brand.yaml").read_text(encoding="utf-8")
        assert image.endswith(f"adloom-train:{VERSION[1]}")


def test_image_tags_match_make_image() -> None:
    paths = [path for folder in ("k8s", "pipelines/compiled") for path in (ROOT / folder).rglob("*.yaml")]
    words = [word for path in (*paths, ROOT / "params.yaml") for word in path.read_text(encoding="utf-8").split()]
    tags = {word.strip("},").rpartition(":")[2] for word in words if re.match(r"\S*adloom-(train|serve)(-gpu)?:", word)}
    tags |= {value.strip("},") for word, value in pairwise(words) if word == "newTag:"}
    assert VERSION
    assert tags == {VERSION[1]}
    assert '--tag "adloom-$role:$version"' in (ROOT / "scripts" / "image").read_text(encoding="utf-8")
