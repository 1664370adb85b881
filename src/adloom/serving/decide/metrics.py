"""Metrics of decisions, models and the decision log."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adloom.config.models import MODELS
from adloom.decision_log.log import LogStatistics
from adloom.decision_log.record import DropReason, Tier
from adloom.serving.decide.arms import ExperimentStatistics
from adloom.serving.metrics import Histogram

DECISION_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds


@dataclass(eq=False)
class DecisionMetrics(Collector):
    """Decisions, and the state of models, tokens and log."""

    registry: CollectorRegistry
    models: Callable[[], Iterable[tuple[str, str, str]]]  # name, version, digest of those that serve
    log: Callable[[], LogStatistics | None]
    experiment: Callable[[], ExperimentStatistics] = ExperimentStatistics
    tokens_unreadable: Callable[[], bool] = lambda: False
    swaps: Counter[str] = field(default_factory=Counter)  # by model
    refused: Counter[str] = field(default_factory=Counter)  # by model
    late: int = 0  # answers after the request's tmax_ms
    late_recommendations: int = 0
    loop_lag: float = 0.0  # seconds

    def __post_init__(self) -> None:
        self.tiers: dict[Tier, Histogram] = {tier: Histogram(DECISION_BUCKETS) for tier in get_args(Tier)}
        self.recommendations: dict[Tier, Histogram] = {tier: Histogram(DECISION_BUCKETS) for tier in get_args(Tier)}
        for counter in (self.swaps, self.refused):
            counter.update(dict.fromkeys(MODELS, 0))  # Prometheus does not see the first event of a new series
        self.registry.register(self)

    def observe_recommendation(self, tier: Tier, seconds: float, tmax_ms: int) -> None:
        """Count a recommendation."""
        self.recommendations[tier].observe(seconds)
        self.late_recommendations += seconds * 1e3 > tmax_ms

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for name, histograms in (
            ("adloom_decide_seconds", self.tiers),
            ("adloom_recommend_seconds", self.recommendations),
        ):
            about = "From arrival to answer, by tier."
            seconds = HistogramMetricFamily(name, about, labels=("tier",))
            for tier, histogram in histograms.items():
                histogram.add_to(seconds, tier)
            yield seconds
        yield CounterMetricFamily("adloom_decide_late", "Answers sent after the request's tmax_ms.", self.late)
        late = "Recommendations sent after the request's tmax_ms."
        yield CounterMetricFamily("adloom_recommend_late", late, self.late_recommendations)
        lag = "Lag of the event loop when last measured."
        yield GaugeMetricFamily("adloom_loop_lag_seconds", lag, self.loop_lag)
        models = GaugeMetricFamily("adloom_model_info", "Models that serve.", labels=("model", "version", "digest"))
        for labels in self.models():
            models.add_metric(labels, 1)
        yield models
        yield _by_model("adloom_model_swaps", "Models replaced while serving.", self.swaps)
        yield _by_model("adloom_model_refused", "Newer models refused; the ones before keep serving.", self.refused)
        yield from _experiment_metrics(self.experiment())
        about = "1 while the tokens file cannot be read; after a grace period all requests are refused."
        yield GaugeMetricFamily("adloom_tokens_unreadable", about, float(self.tokens_unreadable()))
        if (statistics := self.log()) is not None:
            yield from _log_metrics(statistics)


def _by_model(name: str, about: str, counts: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, about, labels=("model",))
    for model, count in counts.copy().items():
        family.add_metric((model,), count)
    return family


def _experiment_metrics(statistics: ExperimentStatistics) -> Iterator[Metric]:
    arms = CounterMetricFamily("adloom_experiment_decisions", "Decisions of experiments, by arm.", labels=("arm",))
    for arm, count in statistics.decisions.copy().items():
        arms.add_metric((arm,), count)
    yield arms
    seconds = HistogramMetricFamily("adloom_shadow_seconds", "Time of the shadow policy per decision.")
    statistics.shadow_seconds.add_to(seconds)
    yield seconds
    about = "Total variation between the probabilities of the shadow policy and of the policy that is shown."
    distance = HistogramMetricFamily("adloom_shadow_distance", about)
    statistics.shadow_distance.add_to(distance)
    yield distance
    about = "Decisions for which the shadow policy failed."
    yield CounterMetricFamily("adloom_shadow_errors", about, statistics.shadow_errors)


def _log_metrics(log: LogStatistics) -> Iterator[Metric]:
    yield CounterMetricFamily("adloom_log_records", "Records accepted by the decision log.", log.appended)
    yield CounterMetricFamily("adloom_log_written", "Records written to a log segment.", log.written)
    dropped = CounterMetricFamily("adloom_log_dropped", "Records dropped, by reason.", labels=("reason",))
    for reason, count in (dict.fromkeys(get_args(DropReason), 0) | log.dropped).items():
        dropped.add_metric((reason,), count)
    yield dropped
    yield CounterMetricFamily("adloom_log_shipped", "Log segments shipped.", log.shipped)
    yield CounterMetricFamily("adloom_log_ship_failures", "Failed attempts to ship log segments.", log.failures)
    yield GaugeMetricFamily("adloom_log_unshipped", "Log segments not shipped yet.", log.unshipped)
    yield GaugeMetricFamily("adloom_log_write_lag_seconds", "Age of the oldest record not written yet.", log.write_lag)
    yield GaugeMetricFamily(
        "adloom_log_ship_lag_seconds", "Age of the oldest log segment not shipped yet.", log.ship_lag
    )
