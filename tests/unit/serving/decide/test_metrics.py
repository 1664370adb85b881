"""Metrics of decisions, of their models and of the decision log."""

from prometheus_client import CollectorRegistry

from adloom.decision_log.log import LogStatistics
from adloom.serving.decide.metrics import DecisionMetrics
from adloom.serving.decide.service import MemoryLog

STATISTICS = LogStatistics(
    appended=7,
    written=5,
    dropped={"buffer full": 2},
    shipped=1,
    unshipped=3,
    failures=4,
    write_lag=0.25,
    ship_lag=9.5,
)


def test_statistics_of_the_log() -> None:
    registry = CollectorRegistry()
    DecisionMetrics(registry, list, lambda: STATISTICS)
    expected = {
        "adloom_log_records_total": 7,
        "adloom_log_written_total": 5,
        "adloom_log_shipped_total": 1,
        "adloom_log_unshipped": 3,
        "adloom_log_ship_failures_total": 4,
        "adloom_log_write_lag_seconds": 0.25,
        "adloom_log_ship_lag_seconds": 9.5,
    }
    assert {name: registry.get_sample_value(name) for name in expected} == expected
    assert registry.get_sample_value("adloom_log_dropped_total", {"reason": "buffer full"}) == 2


def test_a_log_without_statistics_has_no_metrics() -> None:
    registry = CollectorRegistry()
    DecisionMetrics(registry, list, MemoryLog().statistics)
    assert not [family.name for family in registry.collect() if family.name.startswith("adloom_log_")]


def test_counters_start_at_zero() -> None:
    registry = CollectorRegistry()
    DecisionMetrics(registry, list, lambda: STATISTICS)
    unseen = [("adloom_log_dropped_total", {"reason": "disk full"}), ("adloom_model_refused_total", {"model": "cnn"})]
    assert [registry.get_sample_value(*sample) for sample in unseen] == [0, 0]


def test_models_that_serve() -> None:
    registry = CollectorRegistry()
    DecisionMetrics(registry, lambda: [("policy", "3", "abc")], lambda: None)
    labels = {"model": "policy", "version": "3", "digest": "abc"}
    assert registry.get_sample_value("adloom_model_info", labels) == 1


def test_durations_by_tier_and_late_answers() -> None:
    registry = CollectorRegistry()
    metrics = DecisionMetrics(registry, list, lambda: None)
    metrics.tiers["cached"].observe(0.003)
    metrics.late += 1
    counts = {
        tier: registry.get_sample_value("adloom_decide_seconds_count", {"tier": tier})
        for tier in ("model", "cached", "default")
    }
    assert counts == {"model": 0, "cached": 1, "default": 0}
    assert registry.get_sample_value("adloom_decide_seconds_bucket", {"tier": "cached", "le": "0.005"}) == 1
    assert registry.get_sample_value("adloom_decide_seconds_bucket", {"tier": "cached", "le": "0.002"}) == 0
    assert registry.get_sample_value("adloom_decide_late_total") == 1
