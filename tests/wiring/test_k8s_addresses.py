"""Network policies let components reach every address in settings, overlays and the catalogue."""

import re
from collections.abc import Iterator
from copy import deepcopy
from urllib.parse import urlsplit

import pytest
import yaml
from tests.support import rendered_manifests
from tests.support.network_policies import Object, Peer, may, selects
from tests.support.rendered_manifests import ROOT, Rendered

from adloom.catalogue.entries import ENTRIES
from adloom.catalogue.packages import Url
from adloom.config.settings import Settings
from adloom.connection_errors import PORTS

ADDRESS = re.compile(r"(URL|URI|ENDPOINT|HOST|UI|REMOTE)(_S3|_URL)?$")  # suffixes of variables with an address
INTERNET = Peer("internet", address="192.0.2.7")
OURS = {"app.kubernetes.io/part-of": "adloom"}
KUBEFLOWS = Peer("ml-pipeline", {"app": "ml-pipeline", "application-crd-id": "kubeflow-pipelines"})
STORE = ("stage", "training", "trigger", "poll", "refresh", "watch", "mlflow", "decide", "creatives")
USERS = {  # {variable: components that connect to its address}
    "MLFLOW_TRACKING_URI": ("stage", "training", "refresh", "watch", "decide", "creatives"),
    "AWS_ENDPOINT_URL_S3": STORE,
    "MLFLOW_S3_ENDPOINT_URL": ("mlflow",),
    "ADLOOM_CHECKPOINT_URI": ("stage", "training"),
    "ADLOOM_ARTIFACTS_ENDPOINT": ("stage",),
    "ADLOOM_DVC_REMOTE": ("stage",),
    "ADLOOM_LIBRARY_URL": ("decide", "creatives"),
    "ADLOOM_LOG_URI": ("decide", "refresh", "watch"),
    "ADLOOM_BUNDLE_URI": ("decide", "creatives"),
    "ADLOOM_KFP_ENDPOINT": ("trigger", "poll"),
    "ADLOOM_TRIGGER_URL": ("stage",),
    "ADLOOM_KFP_UI": (),  # for people
    "ADLOOM_WEBHOOK_URL": ("stage",),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("decide", "creatives"),
    "KUBERNETES_SERVICE_HOST": ("stage",),
}
WITHOUT = {  # set by no overlay
    "ADLOOM_ARTIFACTS_ENDPOINT",
    "MLFLOW_S3_ENDPOINT_URL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
}
ELSEWHERE = {"ADLOOM_LIBRARY_URL", "ADLOOM_WEBHOOK_URL", "KUBERNETES_SERVICE_HOST"}  # set by a Secret or by Kubernetes


@pytest.fixture(scope="module", params=["dev", "prod"])
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return rendered_manifests.render(
        rendered_manifests.copy_manifests(tmp_path_factory.mktemp("tree")) / "overlays" / request.param
    )


def variables() -> Iterator[str]:
    """Yield the first variable of each setting."""
    for name, field in Settings.model_fields.items():
        yield str(getattr(field.validation_alias, "choices", [f"ADLOOM_{name.upper()}"])[0])


def configured(overlay: Rendered) -> dict[str, str]:
    return dict(overlay.one("ConfigMap", "adloom")["data"])


def pod(component: str) -> Peer:
    return Peer(component, {**OURS, "app.kubernetes.io/component": component})


def target(overlay: Rendered, url: str) -> tuple[Peer, int]:
    """Return the peer and port of an address; a name without a dot is a service of the namespace."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if host == "ml-pipeline":
        return KUBEFLOWS, port
    if "." in host:
        return INTERNET, port
    spec = overlay.one("Service", host)["spec"]
    [owner] = [item for item in overlay.pods if spec["selector"].items() <= item.labels.items()]
    [entry] = [entry for entry in spec["ports"] if entry["port"] == port]
    [number] = [p["containerPort"] for c in owner.containers for p in c["ports"] if p["name"] == entry["targetPort"]]
    return Peer(owner.component, owner.labels), int(number)


def policy(overlay: Rendered, name: str) -> Object:
    return deepcopy(dict(overlay.one("NetworkPolicy", name)["spec"]))


def test_every_setting_with_an_address_has_users() -> None:
    assert {name for name in variables() if ADDRESS.search(name)} == set(USERS)


def test_overlays_set_every_address_not_set_elsewhere(overlay: Rendered) -> None:
    assert {name for name in configured(overlay) if ADDRESS.search(name)} == set(USERS) - WITHOUT - ELSEWHERE


def test_users_reach_every_configured_address(overlay: Rendered) -> None:
    """An s3:// address is reached through the S3 server."""
    data = configured(overlay)
    for name, value in data.items():
        for component in USERS.get(name, ()):
            url = data["AWS_ENDPOINT_URL_S3"] if value.startswith("s3://") else value
            assert may(overlay.of("NetworkPolicy"), pod(component), *target(overlay, url)), f"{component}: {name}"


def test_browser_links_are_not_kubeflows_api(overlay: Rendered) -> None:
    url = configured(overlay)["ADLOOM_KFP_UI"]
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    [forwarded] = re.findall(r"port-forward service/ml-pipeline-ui (\d+):80", page)
    assert url == f"http://localhost:{forwarded}" or (overlay.name == "prod" and "." in (urlsplit(url).hostname or ""))


def test_the_overlay_names_the_port_of_the_webhook(overlay: Rendered) -> None:
    spec = policy(overlay, "adloom-to-webhook")
    [rule] = spec["egress"]
    assert selects(spec["podSelector"], pod("stage").labels)
    assert not selects(spec["podSelector"], pod("training").labels)
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    rule["ports"][0]["port"] = 8443  # as documented for another port
    assert may([{"spec": spec}], pod("stage"), INTERNET, 8443)


def test_the_overlay_names_the_port_of_s3_once_for_all_its_users(overlay: Rendered) -> None:
    spec = policy(overlay, "adloom-to-s3")
    [rule] = spec["egress"]
    rule["ports"] = [{"protocol": "TCP", "port": 9000}]  # as documented for another port
    store, _ = target(overlay, configured(overlay)["AWS_ENDPOINT_URL_S3"])
    for component in STORE:
        assert selects(spec["podSelector"], pod(component).labels), component
        assert may([{"spec": spec}], pod(component), store, 9000), component


def test_stages_reach_every_source_of_the_catalogue(overlay: Rendered) -> None:
    origins = [
        origin for entry in ENTRIES.values() for set_of in entry.alternatives for p in set_of for origin in p.origins
    ]
    urls = [origin.url for origin in origins if isinstance(origin, Url)]
    assert len(urls) >= len(ENTRIES)
    for url in urls:
        assert may(overlay.of("NetworkPolicy"), pod("stage"), *target(overlay, url)), url


def test_stages_reach_kubernetes(overlay: Rendered) -> None:
    for port in (443, 6443):
        assert may(overlay.of("NetworkPolicy"), pod("stage"), INTERNET, port)


def test_the_documented_policy_lets_traces_reach_a_collector(overlay: Rendered) -> None:
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    [text] = re.findall(r"cat >> k8s/overlays/prod/policies.yaml <<'END'\n(.*?)END\n", page, re.DOTALL)
    [added] = [item for item in yaml.safe_load_all(text) if item]
    collector = Peer("collector", {"app": "collector"}, "observability")
    for component in USERS["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]:
        assert not may(overlay.of("NetworkPolicy"), pod(component), collector, 4318)
        assert may([*overlay.of("NetworkPolicy"), added], pod(component), collector, 4318)
