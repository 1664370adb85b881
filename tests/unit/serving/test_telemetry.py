"""Spans of requests, into memory."""

import sys
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient
from tests.support.decision_logs import wait_until

from adloom.errors import ConfigError
from adloom.serving import app, telemetry
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.schemas import SEGMENT
from adloom.serving.decide.micro_batcher import Arrival, Request
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PLAIN = {"placement": "side", "candidates": ["creative-0", "creative-1"]}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def client(models: Models, spans: InMemorySpanExporter) -> TestClient:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return TestClient(
        app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None), tracing=telemetry.Tracing(provider)))
    )


def test_a_request_is_a_span_of_the_callers_trace(client: TestClient, spans: InMemorySpanExporter) -> None:
    response = client.post(DECIDE, json=PLAIN, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert response.json()["tier"] == "model"
    wait_until(lambda: bool(spans.get_finished_spans()))
    [span] = spans.get_finished_spans()
    assert span.parent is not None
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.attributes is not None
    assert span.attributes["http.status_code"] == 200


def test_a_segment_is_one_as_well(client: TestClient, spans: InMemorySpanExporter) -> None:
    client.post(SEGMENT, json={"users": ["1"]}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert [f"{span.context.trace_id:032x}" for span in spans.get_finished_spans() if span.context] == [TRACE]


def test_the_newest_have_one_where_there_are_too_many(spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing, now = telemetry.Tracing(provider), time.perf_counter()
    for i in range(50 * telemetry.MAX_SPANS):
        tracing.record(Request(DECIDE, {}, b"", Arrival(now)), i, now + 1)
    wait_until(lambda: bool(spans.get_finished_spans()) and not tracing._answered)
    found = [span.attributes["http.status_code"] for span in spans.get_finished_spans() if span.attributes]
    assert found[-1] == 50 * telemetry.MAX_SPANS - 1
    assert len(found) <= 10 * telemetry.MAX_SPANS
    first = spans.get_finished_spans()[0]
    assert first.end_time is not None
    assert first.start_time is not None
    assert first.end_time - first.start_time == pytest.approx(1e9, rel=1e-6)


def test_probes_and_scrapes_are_none(client: TestClient, spans: InMemorySpanExporter) -> None:
    for page in ("/livez", "/readyz", "/metrics", "/v1/models"):
        assert client.get(page).status_code == 200
    assert spans.get_finished_spans() == ()


def test_without_the_exporter_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"is not installed; `pip install opentelemetry-exporter-otlp-proto-http`"):
        telemetry.create_provider()
