"""OpenTelemetry: a span for each request to a model, in the caller's trace; not imported unless it is configured."""

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

PARENTS = ("traceparent", "tracestate")  # headers that name the caller's span
EVERY = 0.1  # seconds between two times that spans are made of the lane's requests
MOST = 100  # of them each time: a span costs half as much as a decision; the newest requests have one


class Answered(NamedTuple):
    """A request of the lane that was answered."""

    path: str
    headers: Headers
    status: int
    arrived: float  # by time.perf_counter
    ended: float


def exporting() -> "TracerProvider":
    """Return what sends spans to where the environment says. Raises ConfigError when the exporter is not installed."""
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
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # from a thread of its own
    return provider


class Tracing:
    """Makes spans of requests: the lane's are answered as they are without, and a thread makes their spans."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._tracer = provider, provider.get_tracer("adloom")
        self._extract = TraceContextTextMapPropagator().extract
        self._answered: deque[Answered] = deque(maxlen=MOST)
        threading.Thread(target=self._make_spans, name="spans", daemon=True).start()

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests to models are spans."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        pages = ",".join(f"^https?://[^/]*{page}$" for page in sorted(PAGES))
        middleware: ASGIApp = OpenTelemetryMiddleware(
            app, tracer_provider=self._provider, excluded_urls=pages, exclude_spans=["receive", "send"]
        )
        return middleware

    def record(self, request: Request, status: int, end: float) -> None:
        """Take a request of the lane that was answered at a time, by time.perf_counter."""
        self._answered.append(Answered(request.path, request.headers, status, request.arrived, end))

    def _make_spans(self) -> None:
        while True:
            time.sleep(EVERY)
            for _ in range(len(self._answered)):
                self._make_span(self._answered.popleft())

    def _make_span(self, answered: Answered) -> None:
        from opentelemetry.trace import SpanKind

        names = {name: answered.headers.get(name.encode(), b"").decode("latin-1") for name in PARENTS}
        clock = time.time_ns() - int(time.perf_counter() * 1e9)
        span = self._tracer.start_span(
            f"POST {answered.path}",
            self._extract(names) if names["traceparent"] else None,
            SpanKind.SERVER,
            {"http.method": "POST", "http.target": answered.path, "http.status_code": answered.status},
            start_time=clock + int(answered.arrived * 1e9),
        )
        span.end(clock + int(answered.ended * 1e9))
