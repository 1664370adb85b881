"""The services export every metric and label in the alerts and dashboard of k8s/components/monitoring."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from tests.support.experiments import count, experiment
from tests.support.tiny_models import write_models
from tests.support.tokens import tokens_file

from adloom.cli.drift_metrics import DriftMetrics
from adloom.cli.experiment_metrics import ExperimentMetrics
from adloom.config.models import MODELS
from adloom.config.settings import Settings
from adloom.decision_log.log import open_log
from adloom.decision_log.record import DropReason
from adloom.errors import ExternalServiceError
from adloom.experiments.analysis import analyse
from adloom.kubeflow import trigger_server
from adloom.kubeflow.submit import TriggerResult
from adloom.serving import server
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.middleware import MAX_IN_FLIGHT
from adloom.serving.api.schemas import SEGMENT
from adloom.serving.app import ServiceDependencies
from adloom.serving.creatives.canary import CanaryMetrics, Outcome, Role
from adloom.serving.decide.arms import ExperimentStatistics
from adloom.serving.decide.metrics import DecisionMetrics
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.stages.drift import RESULT
from adloom.tracking.memory import MemoryTracker

FOLDER = Path(__file__).parents[2] / "k8s" / "components" / "monitoring"
BY_PROMETHEUS = {"job", "namespace", "pod"}  # labels that Prometheus adds
REASONS = set(get_args(DropReason))
TOKEN = "a-token-that-is-long-enough"


def alerts() -> dict[str, str]:
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]}


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]


def find_metrics(expr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each metric of an expression and its label matchers."""
    for metric, matchers in re.findall(r"\b(adloom_\w+|up)(?:\{([^}]*)\})?", expr):
        yield metric, dict(re.findall(r'(\w+)(?:=~|=)"([^"]*)"', matchers))


def export_metrics(app: ASGIApp) -> dict[str, list[dict[str, str]]]:
    """Return the labels of every sample by metric, after valid and invalid requests."""
    with TestClient(app, raise_server_exceptions=False) as client:
        row = dict.fromkeys(("recency_days", "frequency", "monetary", "tenure_days", "interpurchase_days"), 1.0)
        client.post(SEGMENT, json={"rows": [row]})
        client.post(SEGMENT, json={"users": ["nobody"]})
        client.post(DECIDE, json={"placement": "top", "candidates": ["a", "b"]})
        client.post(trigger_server.TRIGGER, json={})
        client.post(trigger_server.TRIGGER, json={}, headers={"Authorization": f"Bearer {TOKEN}"})
        text = client.get("/metrics").text
    return parse_samples(text)


def export_experiment() -> str:
    """Return the metrics of an experiment that was analysed."""
    exported = ExperimentMetrics(registry := CollectorRegistry())
    exported.result = analyse(experiment(), count([800, 150, 50], click=[40, 10, 2]))
    return generate_latest(registry).decode()


def export_decisions() -> str:
    """Return the metrics of a service that decides for an arm."""
    statistics = ExperimentStatistics()
    statistics.decisions["champion"] += 1
    DecisionMetrics(registry := CollectorRegistry(), list, lambda: None, lambda: statistics)
    return generate_latest(registry).decode()


def export_drift() -> str:
    """Return the metrics of a comparison."""
    exported, tracker = DriftMetrics(registry := CollectorRegistry()), MemoryTracker()
    result = {"at": 1, "alarms": 1, "effects": [["impressions", "ctx_segment", 0.3]]}
    with tracker.start_run("drift comparison", {}, {RESULT: json.dumps(result)}):
        exported.update(tracker)
    return generate_latest(registry).decode()


def export_canary() -> str:
    """Return the metrics of a challenger that answered."""
    exported = CanaryMetrics()
    for role in get_args(Role):
        exported.requests["cnn", role, "answered"] += 1
        exported.seconds["cnn", role].observe(0.1)
    exported.compared["cnn"] += 1
    (registry := CollectorRegistry()).register(exported)
    return generate_latest(registry).decode()


def parse_samples(text: str) -> dict[str, list[dict[str, str]]]:
    samples: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels)
    return samples


def fail_trigger(pipeline: str, cause: str) -> TriggerResult:
    raise ExternalServiceError("nobody answers")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return loader.load(sources.find_in_folder(write_models(tmp_path_factory.mktemp("models"))), threads=1)


@pytest.fixture(scope="module")
def metrics(models: Models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    tokens = tokens_file(tmp_path_factory.mktemp("tokens"), TOKEN)
    log = open_log(Settings(home=tmp_path_factory.mktemp("home")), "shop")
    samples = export_metrics(
        server.create_named_app("decide", models, ServiceDependencies(PseudonymKeys(None), log=log))
    )
    creatives = server.create_named_app("creatives", models, ServiceDependencies(PseudonymKeys(None)))
    for metric, labels in export_metrics(creatives).items():
        samples.setdefault(metric, []).extend(labels)
    for text in (export_experiment(), export_decisions(), export_canary(), export_drift()):
        for metric, labels in parse_samples(text).items():
            samples.setdefault(metric, []).extend(labels)
    for metric, labels in export_metrics(trigger_server.create_app(fail_trigger, Settings(tokens_file=tokens))).items():
        samples.setdefault(metric, []).extend(labels)
    return samples


@pytest.mark.parametrize(("name", "expr"), [*alerts().items(), *panels()])
def test_queried_metrics_and_labels_exist(name: str, expr: str, metrics: dict[str, list[dict[str, str]]]) -> None:
    assert list(find_metrics(expr)), name
    for metric, matchers in find_metrics(expr):
        if metric == "up":
            assert set(matchers) <= BY_PROMETHEUS
            continue
        labels = metrics[metric]
        assert set(matchers) <= set(labels[0]) | BY_PROMETHEUS, metric
        for label in set(matchers) - {"status", *BY_PROMETHEUS}:  # only some status codes occur in this test
            known = {*ENDPOINTS, trigger_server.TRIGGER} if label == "path" else {samples[label] for samples in labels}
            assert any(re.fullmatch(matchers[label], value) for value in known), f"{metric}: {label}={matchers[label]}"
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expr))))
        assert grouped <= {label for each in metrics.values() for samples in each for label in samples} | BY_PROMETHEUS


def test_counters_in_alerts_start_at_zero(metrics: dict[str, list[dict[str, str]]]) -> None:
    """Prometheus sees no increase if a counter first appears with its first event."""
    watched = {"adloom_model_refused_total": {"model": set(MODELS)}, "adloom_log_dropped_total": {"reason": REASONS}}
    for metric, expected in watched.items():
        for label, values in expected.items():
            assert {labels[label] for labels in metrics[metric]} == values
    assert metrics["adloom_copies_refused_total"] == [{}]
    outcomes = {labels["outcome"] for labels in metrics["adloom_canary_requests_total"]}
    assert outcomes == set(get_args(Outcome))


def test_every_alert_has_a_panel_with_its_metrics() -> None:
    queried = {metric for _, expr in panels() for metric, _ in find_metrics(expr)}
    bases = {re.sub("_(bucket|count|sum)$", "", metric) for metric in queried}
    for name, expr in alerts().items():
        assert {re.sub("_(bucket|count|sum)$", "", metric) for metric, _ in find_metrics(expr)} <= bases, name


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_trigger_statuses_match_the_alerts(metrics: dict[str, list[dict[str, str]]]) -> None:
    statuses = {
        labels["status"] for labels in metrics["adloom_requests_total"] if labels["path"] == trigger_server.TRIGGER
    }
    for alert in ("AdloomTriggerFailing", "AdloomTriggerUnauthorized"):
        [(_, matchers)] = find_metrics(alerts()[alert])
        assert any(re.fullmatch(matchers["status"], status) for status in statuses), alert


def test_autoscaling_uses_an_exported_metric_and_acts_before_throttling(
    metrics: dict[str, list[dict[str, str]]],
) -> None:
    [patch] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))["patches"]
    [change] = yaml.safe_load(patch["patch"])
    pods = change["value"]["pods"]
    assert pods["metric"]["name"] in metrics
    assert int(pods["target"]["averageValue"]) < MAX_IN_FLIGHT
