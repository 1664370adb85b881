"""OpenTelemetry: a span for each request to a model, in the caller's trace; not imported unless it is configured."""

import time
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from adloom.errors import ParamsError
from adloom.serving.admission import PAGES
from adloom.serving.line import Request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

PARENTS = ("traceparent", "tracestate")  # headers that name the caller's span
MOST = 1000  # spans of the lane's requests in a second: each costs as much as a decision; more are left out
AT_ONCE = 0.1  # seconds whose spans may come at once


def exporting() -> "TracerProvider":
    """Return what sends spans to where the environment says. Raises ParamsError when the exporter is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found, unused-ignore]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        missing = f"OTEL_EXPORTER_OTLP_ENDPOINT is set and {error.name} is not installed"
        raise ParamsError(f"{missing}; `pip install opentelemetry-exporter-otlp-proto-http`, or unset it") from None
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "adloom"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # from a thread of its own
    return provider


class Tracing:
    """Makes spans of requests: of the lane's by itself, so that they are answered as they are without; of others."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._tracer = provider, provider.get_tracer("adloom")
        self._extract = TraceContextTextMapPropagator().extract
        self._next = 0.0  # when there is room for a span, by time.perf_counter

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests to models are spans."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        pages = ",".join(f"^https?://[^/]*{page}$" for page in sorted(PAGES))
        middleware: ASGIApp = OpenTelemetryMiddleware(
            app, tracer_provider=self._provider, excluded_urls=pages, exclude_spans=["receive", "send"]
        )
        return middleware

    def record(self, request: Request, status: int, end: float) -> None:
        """Make a span of a request of the lane that was answered at a time, by time.perf_counter."""
        if end >= self._next:
            self._next = max(self._next, end - AT_ONCE) + 1 / MOST
            self._make(request, status, end)

    def _make(self, request: Request, status: int, end: float) -> None:
        from opentelemetry.trace import SpanKind

        ended = time.time_ns() - int((time.perf_counter() - end) * 1e9)
        names = {name: request.headers.get(name.encode(), b"").decode("latin-1") for name in PARENTS}
        span = self._tracer.start_span(
            f"POST {request.path}",
            self._extract(names) if names["traceparent"] else None,
            SpanKind.SERVER,
            {"http.method": "POST", "http.target": request.path, "http.status_code": status},
            start_time=ended - int((end - request.arrived) * 1e9),
        )
        span.end(ended)
