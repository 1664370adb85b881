"""Metrics of the last drift comparison that MLflow has."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adloom.stages.drift import RESULT
from adloom.tracking.base import Tracker


class DriftMetrics(Collector):
    """The effect of each feature and the number of alarms; nothing before the first comparison."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._result: Mapping[str, Any] | None = None
        registry.register(self)

    def update(self, tracker: Tracker) -> None:
        """Read the newest comparison."""
        text = tracker.find_newest_tag(RESULT)
        self._result = json.loads(text) if text else None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        alarms = GaugeMetricFamily("adloom_drift_alarms", "Features that have drifted, at the last comparison.")
        compared = GaugeMetricFamily("adloom_drift_compared_seconds", "Time of the last comparison, since 1970.")
        about = "Population stability index of a feature, or relative change of the click rate, at the last comparison."
        effects = GaugeMetricFamily("adloom_drift_effect", about, labels=("table", "feature"))
        if self._result:
            alarms.add_metric((), self._result["alarms"])
            compared.add_metric((), self._result["at"])
            for table, feature, effect in self._result["effects"]:
                effects.add_metric((table, feature), effect)
        yield from (alarms, compared, effects)
