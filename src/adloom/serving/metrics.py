"""Request metrics. A scrape reaches one of several processes at random, so it merges the texts of all."""

import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
IN_FLIGHT = "adloom_requests_in_flight"  # the one gauge that is summed over processes
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)  # requests
STALE_SECONDS = 10.0  # without a new text, after which a process has ended


class Histogram:
    """Numbers by bucket, five times as fast as prometheus_client's."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, number: float) -> None:
        """Count one number."""
        self._counts[bisect_left(self._bounds, number)] += 1
        self._sum += number

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Add this histogram to a family."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append((str(float(bound)) if bound != float("inf") else "+Inf", float(total)))
        family.add_metric(labels, buckets, self._sum)


@dataclass(eq=False)
class RequestMetrics(Collector):
    """Counts and durations of the requests of one application."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    in_flight: int = 0  # requests to models

    def __post_init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LATENCY_BUCKETS))
        self.registry.register(self)

    def record(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests[path, status] += 1
        self._seconds[path].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        requests = CounterMetricFamily("adloom_requests", "Requests answered.", labels=("path", "status"))
        for (path, status), count in self._requests.copy().items():
            requests.add_metric((path, str(status)), count)
        yield requests
        about = "From the request's first byte to the response's last byte."
        seconds = HistogramMetricFamily("adloom_request_seconds", about, labels=("path",))
        for path, histogram in self._seconds.copy().items():
            histogram.add_to(seconds, path)
        yield seconds
        yield GaugeMetricFamily(IN_FLIGHT, "Requests to models in progress; scale by it.", self.in_flight)


class BatchMetrics:
    """Numbers of the batches of one endpoint."""

    def __init__(self) -> None:
        self.size, self.queue_seconds = Histogram(BATCH_BUCKETS), Histogram(LATENCY_BUCKETS)
        self.poisoned = 0


class BatchMetricsCollector(Collector):
    """The numbers of the batches of all endpoints."""

    def __init__(self, by_path: Mapping[str, BatchMetrics]) -> None:
        self._by_path = by_path

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        size = HistogramMetricFamily("adloom_batch_size", "Requests that one batch answers.", labels=("path",))
        about = "From a request's arrival to the start of its batch."
        queue_seconds = HistogramMetricFamily("adloom_batch_queue_seconds", about, labels=("path",))
        about = "Requests for which the model failed; the others of their batches were answered."
        poisoned = CounterMetricFamily("adloom_poisoned_items", about, labels=("path",))
        for path, metrics in self._by_path.items():
            metrics.size.add_to(size, path)
            metrics.queue_seconds.add_to(queue_seconds, path)
            poisoned.add_metric((path,), metrics.poisoned)
        yield from (size, queue_seconds, poisoned)


@dataclass
class CopyCount:
    """Generated pictures that were refused as copies."""

    refused: int = 0


COPIES = CopyCount()  # of this process


class CreativesCollector(Collector):
    """The refused copies, and the Unix time of `find_expiry` at which the certificate expires."""

    def __init__(self, find_expiry: Callable[[], float]) -> None:
        self._find_expiry = find_expiry

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        about = "Generated pictures refused as copies of training pictures."
        yield CounterMetricFamily("adloom_copies_refused", about, COPIES.refused)
        about = "Unix time at which the certificate that signs creatives expires."
        yield GaugeMetricFamily("adloom_certificate_expiry_timestamp_seconds", about, self._find_expiry())


@dataclass
class MetricsExporter:
    """Prometheus' text of one process, or of all that share a folder."""

    registry: CollectorRegistry
    folder: Path | None = None  # of the texts of several processes

    def export(self) -> bytes:
        """Return the text for a scrape."""
        own = generate_latest(self.registry)
        if self.folder is None:
            return own
        self.write(own)
        now = time.time()
        texts = [
            (path.read_text(encoding="utf-8"), now - path.stat().st_mtime < STALE_SECONDS)
            for path in sorted(self.folder.glob("*.prom"))
        ]
        return merge_expositions(texts).encode()

    def write(self, text: bytes | None = None) -> None:
        """Write the text for other processes."""
        if self.folder is None:
            return
        partial = self.folder / f"{os.getpid()}.partial"
        partial.write_bytes(text or generate_latest(self.registry))
        partial.replace(self.folder / f"{os.getpid()}.prom")


def merge_expositions(texts: Iterable[tuple[str, bool]]) -> str:
    """
    Merge texts, each with whether its process is alive: sum counters, and take the maximum of live gauges.

    prometheus_client's parser would block the event loop 60 times as long.
    """
    kinds: dict[str, str] = {}
    headers: dict[str, list[str]] = {}
    values: dict[str, dict[str, float]] = {}
    for text, is_alive in texts:
        name = ""
        for line in text.splitlines():
            if line.startswith("#"):
                _, keyword, name, content = line.split(" ", 3)
                headers.setdefault(name, [])
                if line not in headers[name]:
                    headers[name].append(line)
                if keyword == "TYPE":
                    kinds[name] = content
                continue
            sample, _, value = line.rpartition(" ")
            samples = values.setdefault(name, {})
            if kinds[name] != "gauge":
                samples[sample] = samples.get(sample, 0.0) + float(value)
            elif is_alive:
                before = samples.get(sample, 0.0)
                samples[sample] = before + float(value) if name == IN_FLIGHT else max(before, float(value))
    lines = [
        [*header, *(f"{sample} {value}" for sample, value in values.get(name, {}).items())]
        for name, header in headers.items()
    ]
    return "\n".join(line for family in lines for line in family) + "\n"
