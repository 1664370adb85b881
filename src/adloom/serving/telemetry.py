"""OpenTelemetry spans of requests in the caller's trace."""

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from starlette.types import ASGIApp

from adloom.errors import ConfigError
from adloom.serving.api.admission import PAGES
from adloom.serving.decide.micro_batcher import Headers, Request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

PARENT_HEADERS = ("traceparent", "tracestate")
INTERVAL = 0.1  # seconds between two batches of spans of decisions
MAX_SPANS = 100  # of a batch, for the newest requests: a span costs half as much as a decision


class AnsweredRequest(NamedTuple):
    """An answered request to the decision endpoint."""

    path: str
    headers: Headers
    status: int
    start: float  # by time.perf_counter
    end: float


def create_provider() -> "TracerProvider":
    """Return a provider for the configured endpoint. Raises ConfigError without the exporter."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found, unused-ignore]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        missing = f"OTEL_EXPORTER_OTLP_ENDPOINT is set and {error.name} is not installed"
        raise ConfigError(f"{missing}; `pip install opentelemetry-exporter-otlp-proto-http`, or unset it") from None
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "adloom"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # in its own thread
    return provider


class Tracing:
    """Creates spans of requests; a thread creates those of decisions."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._tracer = provider, provider.get_tracer("adloom")
        self._extract = TraceContextTextMapPropagator().extract
        self._answered: deque[AnsweredRequest] = deque(maxlen=MAX_SPANS)
        threading.Thread(target=self._create_spans, name="spans", daemon=True).start()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return an application with a span for each model request."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        pages = ",".join(f"^https?://[^/]*{page}$" for page in sorted(PAGES))
        middleware: ASGIApp = OpenTelemetryMiddleware(
            app, tracer_provider=self._provider, excluded_urls=pages, exclude_spans=["receive", "send"]
        )
        return middleware

    def record(self, request: Request, status: int, end: float) -> None:
        """Queue the span of an answered request; `end` is by time.perf_counter."""
        self._answered.append(AnsweredRequest(request.path, request.headers, status, request.arrival.time, end))

    def _create_spans(self) -> None:
        while True:
            time.sleep(INTERVAL)
            for _ in range(len(self._answered)):
                self._create_span(self._answered.popleft())

    def _create_span(self, request: AnsweredRequest) -> None:
        from opentelemetry.trace import SpanKind

        parent = {name: request.headers.get(name.encode(), b"").decode("latin-1") for name in PARENT_HEADERS}
        offset = time.time_ns() - int(time.perf_counter() * 1e9)
        span = self._tracer.start_span(
            f"POST {request.path}",
            self._extract(parent) if parent["traceparent"] else None,
            SpanKind.SERVER,
            {"http.method": "POST", "http.target": request.path, "http.status_code": request.status},
            start_time=offset + int(request.start * 1e9),
        )
        span.end(offset + int(request.end * 1e9))
