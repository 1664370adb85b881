"""Metrics of the running experiment, as `adloom experiment watch` last analysed it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adloom.experiments.analysis import ExperimentResult


class ExperimentMetrics(Collector):
    """The arms of an experiment; nothing without one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.name = ""
        self.result: ExperimentResult | None = None
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        arm = ("experiment", "arm")
        ratio = GaugeMetricFamily(
            "adloom_experiment_sample_ratio_p_value", "P-value of the users per arm.", labels=("experiment",)
        )
        users = GaugeMetricFamily("adloom_experiment_user_share", "Share of the users in an arm.", labels=arm)
        planned = GaugeMetricFamily("adloom_experiment_planned_share", "Planned share of the users.", labels=arm)
        rates = GaugeMetricFamily("adloom_experiment_rate", "Events per decision.", labels=(*arm, "event"))
        about = "Lift of the goal over the baseline: its value, and the ends low and high of its always-valid interval."
        lifts = GaugeMetricFamily("adloom_experiment_lift", about, labels=(*arm, "number"))
        breaches = GaugeMetricFamily("adloom_experiment_breach", "1 if an arm breaches a guardrail.", labels=arm)
        if self.result:
            ratio.add_metric((self.name,), self.result.sample_ratio)
        total = sum(each.users for each in self.result.arms) if self.result else 0
        for each in self.result.arms if self.result else []:
            key = (self.name, each.name)
            users.add_metric(key, each.users / total if total else 0.0)
            planned.add_metric(key, each.share)
            breaches.add_metric(key, float(bool(each.breach)))
            for event, rate in each.rates.items():
                rates.add_metric((*key, event), rate)
            for number in ("value", "low", "high") if each.goal else ():
                lifts.add_metric((*key, number), getattr(each.goal, number))
        yield from (ratio, users, planned, rates, lifts, breaches)
