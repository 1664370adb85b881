"""Spans that leave the service, to a collector that takes them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.tiny_models import write_models

from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.client import serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PLAIN = {"placement": "side", "candidates": ["creative-0", "creative-1"]}


class Collector(BaseHTTPRequestHandler):
    """Takes spans over HTTP, in protobuf."""

    taken: ClassVar[list[ExportTraceServiceRequest]] = []
    came = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.taken.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()
        self.came.set()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_spans_arrive(collector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    folder = write_models(tmp_path / "models")
    with serving("--app", "decide", "--models", str(folder)) as url:
        traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        assert httpx.post(url + DECIDE, json=PLAIN, headers=traced).json()["tier"] == "model"
        assert Collector.came.wait(10)
    [resource] = Collector.taken[0].resource_spans
    [span] = resource.scope_spans[0].spans
    assert span.trace_id.hex() == TRACE
    assert "service.name" in {attribute.key for attribute in resource.resource.attributes}


def test_a_collector_that_is_away_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    folder = write_models(tmp_path / "models")
    with serving("--app", "decide", "--models", str(folder)) as url:
        assert httpx.post(url + DECIDE, json=PLAIN).json()["tier"] == "model"
