"""OpenTelemetry: a span for each request to a model, in the caller's trace; not imported unless it is configured."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from adloom.errors import ParamsError
from adloom.serving.front import PAGES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


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


def traced(app: ASGIApp, provider: "TracerProvider") -> ASGIApp:
    """Return an application whose requests to models are spans; it does without the protocol's shortcut."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    pages = ",".join(f"^https?://[^/]*{page}$" for page in sorted(PAGES))
    middleware: ASGIApp = OpenTelemetryMiddleware(
        app, tracer_provider=provider, excluded_urls=pages, exclude_spans=["receive", "send"]
    )
    return middleware
