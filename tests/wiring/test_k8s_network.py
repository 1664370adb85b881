"""The cluster's network: services select pods, and policies allow exactly the required connections."""

import re
from itertools import product
from pathlib import Path

import click
import pytest
import yaml
from tests.support import rendered_manifests
from tests.support.network_policies import HERE, Peer, may, selects
from tests.support.rendered_manifests import ROOT, Rendered
from tests.support.studio_page import ADDRESSES, FETCHED, POSTED

from adloom.cli.experiment import experiment
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.schemas import REFRESH
from adloom.serving.app import DECIDE_ENDPOINTS

OURS = {"app.kubernetes.io/part-of": "adloom"}
KFP = {"application-crd-id": "kubeflow-pipelines"}
ANY = {53, 443, 3000, 3306, 5000, 5432, 6443, 8080, 8333, 8887, 8888, 9000, 9333, 29400, 80}
LAUNCHER = {8080, 8333, 8887, 8888, 9000}
OUTSIDE = [
    Peer("pipelines", {"app": "ml-pipeline", **KFP}),
    Peer("pipelines' store", {"app": "seaweedfs", **KFP}),
    Peer("neighbour", {"app": "notebook"}),
    Peer("client", {"app": "bidder"}, "ads", {"adloom-client": "true"}),
    Peer("stranger", {"app.kubernetes.io/part-of": "adloom", "app.kubernetes.io/component": "stage"}, "elsewhere"),
    Peer("pretender", {"k8s-app": "kube-dns"}, "elsewhere"),
    Peer("names", {"k8s-app": "kube-dns"}, "kube-system"),
    Peer("names on the node", address="169.254.20.10"),
    Peer("cloud's metadata", address="169.254.169.254"),
    Peer("internet", address="192.0.2.7"),
    Peer("internet, version 6", address="2001:db8::7"),
]
Table = dict[tuple[str, str], set[int]]

ALWAYS: Table = {
    ("decide", "mlflow"): {5000},
    ("creatives", "mlflow"): {5000},
    ("stage", "mlflow"): {5000},
    ("training", "mlflow"): {5000},
    ("refresh", "mlflow"): {5000},
    ("watch", "mlflow"): {5000},
    ("training", "training"): ANY,
    ("stage", "pipelines"): LAUNCHER,
    ("stage", "pipelines' store"): LAUNCHER,
    ("stage", "trigger"): {3000},
    ("trigger", "pipelines"): {8888},
    ("poll", "pipelines"): {8888},
    ("client", "decide"): {3000},
    ("client", "creatives"): {3000},
    ("client", "trigger"): {3000},
    ("client", "watch"): {3000},
    **{(client, server): {443} for client in ("trigger", "poll") for server in ("internet", "internet, version 6")},
    **{("stage", server): {443, 6443} for server in ("internet", "internet, version 6")},
    **{(client, "cloud's metadata"): {443} for client in ("trigger", "poll")},
    ("stage", "cloud's metadata"): {443, 6443},
}
WITHIN: dict[str, Table] = {
    "base+network-policies": {},
    "dev": {
        **{(client, "postgres"): {5432} for client in ("mlflow", "decide", "creatives", "stage")},
        **{
            (client, "s3"): {8333}
            for client in ("stage", "training", "trigger", "poll", "refresh", "watch", "mlflow", "decide", "creatives")
        },
    },
    "prod": {
        **{
            (client, server): {443, 5432}
            for client in ("mlflow", "decide", "creatives")
            for server in ("internet", "internet, version 6", "cloud's metadata")
        },
        **{("stage", server): {443, 5432, 6443} for server in ("internet", "internet, version 6", "cloud's metadata")},
        **{
            (client, server): {443}
            for client in ("training", "refresh", "watch")
            for server in ("internet", "internet, version 6", "cloud's metadata")
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=WITHIN)
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    k8s = rendered_manifests.copy_manifests(tmp_path_factory.mktemp("tree"))
    overlay, _, component = request.param.partition("+")
    if component:
        return rendered_manifests.render(rendered_manifests.combine(k8s, overlay, component))
    return rendered_manifests.render(k8s / "overlays" / overlay)


def peers(platform: Rendered) -> list[Peer]:
    """Return our pods, pods of pipelines, and others."""
    started = ("stage", "training") if not any(p.component == "training" for p in platform.pods) else ("stage",)
    return [
        *(Peer(pod.component, pod.labels) for pod in platform.pods),
        *(Peer(name, {**OURS, "app.kubernetes.io/component": name}) for name in started),
        *OUTSIDE,
    ]


def test_exactly_the_required_connections_are_allowed(platform: Rendered) -> None:
    policies, everyone = platform.of("NetworkPolicy"), peers(platform)
    ours = {peer.name for peer in everyone if peer.here and peer.labels.items() >= OURS.items()}
    allowed: Table = {}
    for source, target in product(everyone, everyone):
        if ours & {source.name, target.name}:
            ports = {port for port in ANY if may(policies, source, target, port)}
            allowed |= {(source.name, target.name): ports} if ports else {}
    names_present = {peer.name for peer in everyone}
    required = {pair: ports for pair, ports in (ALWAYS | WITHIN[platform.name]).items() if {*pair} <= names_present}
    for name in sorted(ours):
        for names in ("names", "names on the node"):
            required[name, names] = required.get((name, names), set()) | {53}
    for (client, server), ports in list(required.items()):  # a DNS cache is an ordinary host
        if server == "internet":
            required[client, "names on the node"] = required[client, "names on the node"] | ports
    assert allowed == required


def test_kubeflows_plugin_reaches_mlflow_only_with_its_component(tmp_path: Path) -> None:
    k8s = rendered_manifests.copy_manifests(tmp_path)
    driver = Peer("driver", {"pipelines.kubeflow.org/v2_component": "true"})
    for component, open_ in ((None, False), ("mlflow-plugin", True)):
        folder = rendered_manifests.combine(k8s, "overlays/dev", component) if component else k8s / "overlays" / "dev"
        platform = rendered_manifests.render(folder)
        [mlflow] = [Peer(pod.component, pod.labels) for pod in platform.pods if pod.component == "mlflow"]
        for peer in (driver, Peer("server", KFP), Peer("server of profiles", KFP, "kubeflow")):
            assert may(platform.of("NetworkPolicy"), peer, mlflow, 5000) is open_, peer.name
        assert not may(platform.of("NetworkPolicy"), Peer("notebook", {"app": "notebook"}), mlflow, 5000)


def test_dns_works_over_udp(platform: Rendered) -> None:
    [names] = [peer for peer in OUTSIDE if peer.name == "names"]
    for peer in peers(platform):
        if peer.labels.items() >= OURS.items() and peer.here:
            assert may(platform.of("NetworkPolicy"), peer, names, 53, "UDP"), peer.name


def test_policies_do_not_affect_other_pods(platform: Rendered) -> None:
    """Kubeflow's own pods and notebooks keep their connections."""
    neighbour, pipelines = Peer("notebook", {"app": "notebook"}), Peer("pipelines", KFP)
    for source, target in product((neighbour, pipelines), repeat=2):
        assert may(platform.of("NetworkPolicy"), source, target, 8888)
    for policy in platform.of("NetworkPolicy"):
        assert not selects(policy["spec"]["podSelector"], neighbour.labels), policy["metadata"]["name"]


def test_pods_of_pipelines_have_the_labels_in_policies() -> None:
    text = (ROOT / "pipelines" / "compiled" / "training.yaml").read_text(encoding="utf-8")
    executors = list(yaml.load_all(text, yaml.CSafeLoader))[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    labels = {**OURS, "app.kubernetes.io/component": "stage"}
    assert {name for name, pod in executors.items() if pod["podMetadata"]["labels"] != labels} == set()


def test_services_select_one_kind_of_pod(platform: Rendered) -> None:
    assert platform.of("Service")
    for service in platform.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        [pod] = [pod for pod in platform.pods if spec["selector"].items() <= pod.labels.items()]
        assert name == f"adloom-{pod.component}"
        [container] = pod.containers
        assert {port["targetPort"] for port in spec["ports"]} == {port["name"] for port in container["ports"]}


def test_references_to_pods_and_services_resolve(platform: Rendered) -> None:
    services = {s["metadata"]["name"]: {port["name"] for port in s["spec"]["ports"]} for s in platform.of("Service")}
    scaled = [hpa["spec"]["scaleTargetRef"] for hpa in platform.of("HorizontalPodAutoscaler")]
    assert [(ref["kind"], ref["name"]) for ref in scaled] == [(pod.kind, pod.owner) for pod in scalable(platform)]
    for budget in platform.of("PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"]
        [pod] = [pod for pod in platform.pods if labels.items() <= pod.labels.items()]
        assert pod.owner == budget["metadata"]["name"]
    for ingress in platform.of("Ingress"):
        [rule], [tls] = ingress["spec"]["rules"], ingress["spec"]["tls"]
        assert tls["hosts"] == [rule["host"]] == ["adloom.example.com"]
        backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
        assert {b["name"]: {b["port"]["name"]} for b in backends}.items() <= services.items()
    for monitor in platform.of("ServiceMonitor"):
        services_monitored = {
            s["metadata"]["name"]
            for s in platform.of("Service")
            if selects(monitor["spec"]["selector"], s["metadata"]["labels"])
        }
        assert services_monitored == {"adloom-decide", "adloom-creatives", "adloom-trigger", "adloom-watch"}


def test_the_watcher_runs_all_the_time_and_exports_on_its_port(platform: Rendered) -> None:
    [pod] = [pod for pod in platform.pods if pod.component == "watch"]
    [container] = pod.containers
    _, command, *arguments = container["args"]
    assert (pod.kind, command) == ("Deployment", "experiment")
    name, _, rest = experiment.resolve_command(click.Context(experiment), arguments)
    with experiment.commands[str(name)].make_context(name, rest, resilient_parsing=True) as context:
        assert [context.params["metrics_port"]] == [port["containerPort"] for port in container["ports"]]
        assert not context.params["once"]


def test_the_ingress_routes_the_studio_and_its_requests_to_creatives(platform: Rendered) -> None:
    for ingress in platform.of("Ingress"):
        paths = ingress["spec"]["rules"][0]["http"]["paths"]
        routed = {(path["path"], path["pathType"]) for path in paths if "creatives" in str(path["backend"])}
        for address in ADDRESSES | POSTED | FETCHED:
            prefixes = {(address[: end.start()], "Prefix") for end in re.finditer("/", address)}
            assert routed & {(address, "Exact"), *prefixes}, address


def test_the_ingress_routes_every_public_endpoint(platform: Rendered) -> None:
    for ingress in platform.of("Ingress"):
        paths = ingress["spec"]["rules"][0]["http"]["paths"]
        for endpoint in ENDPOINTS.keys() - {DECIDE, FEEDBACK, REFRESH}:
            routes = [path for path in paths if path["path"] != "/" and endpoint.startswith(path["path"])]
            [service] = {route["backend"]["service"]["name"] for route in routes}
            assert service == ("adloom-decide" if endpoint in DECIDE_ENDPOINTS else "adloom-creatives")


def scalable(platform: Rendered) -> list[rendered_manifests.Pods]:
    """Return the pods without a replica count."""
    return [
        pod
        for pod in platform.pods
        if pod.kind == "Deployment" and "replicas" not in platform.one("Deployment", pod.owner)["spec"]
    ]


def test_roles_are_bound_in_the_namespace_of_the_runs(platform: Rendered) -> None:
    bound = {b["roleRef"]["name"]: b["subjects"] for b in platform.of("RoleBinding")}
    unsaid = HERE if platform.name.startswith("base") else None  # an overlay sets it
    accounts = {name: [(s["name"], s.get("namespace", unsaid)) for s in subjects] for name, subjects in bound.items()}
    assert accounts == {"adloom-stages": [("pipeline-runner", HERE)], "adloom-submit": [("adloom-submit", HERE)]}
    assert {o["metadata"].get("namespace", unsaid) for o in platform.objects} == {HERE}
