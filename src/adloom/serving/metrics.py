"""
What is counted and timed: plain numbers while requests are answered, Prometheus' text only when somebody asks for it.

Where several processes answer on one port, each writes its text into a folder once a second, and whichever is asked
gives the sum: a scrape reaches one of them, by chance.
"""

import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adloom.config.models import MODELS
from adloom.decision_log.record import DropReason

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
DECISIONS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds
ADDED = "adloom_requests_in_flight"  # the one gauge of which processes have a share each


class Histogram:
    """How many durations were at most so long."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Add this to a family of histograms."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append((str(float(bound)) if bound != float("inf") else "+Inf", float(total)))
        family.add_metric(labels, buckets, self._sum)


class LogNumbers(Protocol):
    """What the decision log tells of itself."""

    appended: int
    written: int
    dropped: dict[str, int]
    shipped: int
    unshipped: int
    failures: int
    write_lag: float  # seconds
    ship_lag: float  # seconds


@dataclass(eq=False)
class RequestMetrics(Collector):
    """Counts and times of one application, in a registry of its own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    busy: int = 0  # requests to models that are being answered

    def __post_init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LATENCIES))
        self.registry.register(self)

    def record(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests[path, status] += 1
        self._seconds[path].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        requests = CounterMetricFamily("adloom_requests", "Requests answered.", labels=("path", "status"))
        for (path, status), count in self._requests.copy().items():
            requests.add_metric((path, str(status)), count)
        yield requests
        about = "From the first byte asked to the last byte answered."
        seconds = HistogramMetricFamily("adloom_request_seconds", about, labels=("path",))
        for path, histogram in self._seconds.copy().items():
            histogram.add_to(seconds, path)
        yield seconds
        yield GaugeMetricFamily(ADDED, "Requests to models being answered, by which to scale.", self.busy)


@dataclass(eq=False)
class DecisionMetrics(Collector):
    """Counts of decisions, of the models behind them and of their log."""

    registry: CollectorRegistry
    origins: Callable[[], Iterable[tuple[str, str, str]]]  # of what serves: name, version, digest
    log: Callable[[], LogNumbers | None]
    tokens_unreadable: Callable[[], bool] = lambda: False
    swaps: Counter[str] = field(default_factory=Counter)  # by model
    refused: Counter[str] = field(default_factory=Counter)  # bundles, by model
    late: int = 0  # answers after the request's tmax
    lag: float = 0.0  # seconds that the event loop was late, when it was last measured

    def __post_init__(self) -> None:
        self.tiers = {tier: Histogram(DECISIONS) for tier in ("model", "cached", "default")}
        for counter in (
            self.swaps,
            self.refused,
        ):  # Prometheus does not see the first event of a series that begins with it
            counter.update(dict.fromkeys(MODELS, 0))
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        seconds = HistogramMetricFamily("adloom_decide_seconds", "From arrival to answer, by tier.", labels=("tier",))
        for tier, histogram in self.tiers.items():
            histogram.add_to(seconds, tier)
        yield seconds
        yield CounterMetricFamily("adloom_decide_late", "Answers that left after their tmax.", self.late)
        yield GaugeMetricFamily("adloom_loop_lag_seconds", "How late the event loop was, when last measured.", self.lag)
        models = GaugeMetricFamily("adloom_model_info", "What serves.", labels=("model", "version", "digest"))
        for origin in self.origins():
            models.add_metric(origin, 1)
        yield models
        yield _by_model("adloom_model_swaps", "Models replaced by others while serving.", self.swaps)
        yield _by_model("adloom_model_refused", "Bundles refused: what served before serves on.", self.refused)
        about = "1 while the tokens file cannot be read: after a grace period nobody may ask."
        yield GaugeMetricFamily("adloom_tokens_unreadable", about, float(self.tokens_unreadable()))
        if (numbers := self.log()) is not None:
            yield from _log(numbers)


def _by_model(name: str, about: str, counts: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, about, labels=("model",))
    for model, count in counts.copy().items():
        family.add_metric((model,), count)
    return family


def _log(numbers: LogNumbers) -> Iterator[Metric]:
    yield CounterMetricFamily("adloom_log_records", "Records taken by the decision log.", numbers.appended)
    yield CounterMetricFamily("adloom_log_written", "Records of it that are in a segment.", numbers.written)
    dropped = CounterMetricFamily("adloom_log_dropped", "Records it had no room for.", labels=("reason",))
    for reason, count in (dict.fromkeys(get_args(DropReason), 0) | numbers.dropped).items():
        dropped.add_metric((reason,), count)
    yield dropped
    yield CounterMetricFamily("adloom_log_shipped", "Segments shipped.", numbers.shipped)
    yield CounterMetricFamily("adloom_log_ship_failures", "Attempts to ship that failed.", numbers.failures)
    yield GaugeMetricFamily("adloom_log_unshipped", "Segments that wait to be shipped.", numbers.unshipped)
    yield GaugeMetricFamily("adloom_log_write_lag_seconds", "Age of the oldest record not written.", numbers.write_lag)
    yield GaugeMetricFamily("adloom_log_ship_lag_seconds", "Age of the oldest segment not shipped.", numbers.ship_lag)


@dataclass
class MetricsExporter:
    """Prometheus' text of one process, or of all that share a folder."""

    registry: CollectorRegistry
    folder: Path | None = None  # where several processes leave theirs
    stale: float = 10.0  # seconds after which a process that wrote nothing is gone, and has nothing in flight

    def text(self) -> bytes:
        """Return the text to answer a scrape with."""
        own = generate_latest(self.registry)
        if self.folder is None:
            return own
        self.leave(own)
        now = time.time()
        texts = [
            (path.read_text(encoding="utf-8"), now - path.stat().st_mtime < self.stale)
            for path in sorted(self.folder.glob("*.prom"))
        ]
        return merge_expositions(texts).encode()

    def leave(self, text: bytes | None = None) -> None:
        """Write this process's text for the others."""
        if self.folder is None:
            return
        beside = self.folder / f"{os.getpid()}.partial"
        beside.write_bytes(text or generate_latest(self.registry))
        beside.replace(self.folder / f"{os.getpid()}.prom")


def merge_expositions(texts: Iterable[tuple[str, bool]]) -> str:
    """
    Add up texts, each of a process that lives or not: counters are sums, gauges the greatest of those that live.

    What a process counted that is no more still counts, as Prometheus takes a counter that falls for a restart.
    """
    kinds: dict[str, str] = {}
    about: dict[str, list[str]] = {}
    values: dict[str, dict[str, float]] = {}
    for text, lives in texts:
        name = ""
        for line in text.splitlines():
            if line.startswith("#"):
                _, what, name, said = line.split(" ", 3)
                about.setdefault(name, [])
                if line not in about[name]:
                    about[name].append(line)
                if what == "TYPE":
                    kinds[name] = said
                continue
            sample, _, value = line.rpartition(" ")
            known = values.setdefault(name, {})
            if kinds[name] != "gauge":
                known[sample] = known.get(sample, 0.0) + float(value)
            elif lives:
                before = known.get(sample, 0.0)
                known[sample] = before + float(value) if name == ADDED else max(before, float(value))
    lines = [[*said, *(f"{s} {v}" for s, v in values.get(name, {}).items())] for name, said in about.items()]
    return "\n".join(line for family in lines for line in family) + "\n"
