"""The metrics of an experiment."""

from prometheus_client import CollectorRegistry
from tests.support.experiments import count, experiment

from adloom.cli.experiment_metrics import ExperimentMetrics
from adloom.experiments.analysis import analyse


def test_an_analysed_experiment_has_rates_shares_and_intervals_by_arm() -> None:
    metrics = ExperimentMetrics(registry := CollectorRegistry())
    metrics.name = "autumn"
    metrics.result = analyse(experiment("champion=50,challenger=50"), count([600, 400], click=[30, 40]))

    def read(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"adloom_experiment_{name}", {"experiment": "autumn", **labels})

    assert read("rate", arm="challenger", event="click") == 0.1
    assert (read("user_share", arm="champion"), read("planned_share", arm="champion")) == (0.6, 0.5)
    assert read("sample_ratio_p_value") == metrics.result.sample_ratio < 0.001
    goal = metrics.result.arms[1].goal
    assert goal
    lift = {number: read("lift", arm="challenger", number=number) for number in ("low", "value", "high")}
    assert lift == {"low": goal.low, "value": goal.value, "high": goal.high}
    assert read("breach", arm="challenger") == 0


def test_without_an_experiment_there_are_no_samples() -> None:
    ExperimentMetrics(registry := CollectorRegistry())
    assert [sample for family in registry.collect() for sample in family.samples] == []
