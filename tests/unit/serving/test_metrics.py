"""Request metrics as Prometheus' text, and the merged texts of several processes."""

import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from adloom.serving.metrics import IN_FLIGHT, MetricsExporter, RequestMetrics, merge_expositions

ONE = """# HELP a_total Counted.
# TYPE a_total counter
a_total{b="x y"} 2.0
# HELP g Gauge.
# TYPE g gauge
g 3.0
"""
TWO = """# HELP a_total Counted.
# TYPE a_total counter
a_total{b="x y"} 5.0
a_total{b="z"} 1.0
# HELP g Gauge.
# TYPE g gauge
g 1.0
"""


def test_durations_fall_into_buckets() -> None:
    meter = RequestMetrics()
    for seconds in (0.0005, 0.001, 0.003, 100):
        meter.record("/v1/segment", 200, seconds)

    def bucket(le: str) -> float | None:
        return meter.registry.get_sample_value("adloom_request_seconds_bucket", {"path": "/v1/segment", "le": le})

    assert [bucket(le) for le in ("0.001", "0.0025", "0.005", "30.0", "+Inf")] == [2, 2, 3, 3, 4]
    total = meter.registry.get_sample_value("adloom_request_seconds_sum", {"path": "/v1/segment"})
    assert total == pytest.approx(100.0045)
    assert meter.registry.get_sample_value("adloom_requests_total", {"path": "/v1/segment", "status": "200"}) == 4


def test_texts_are_merged() -> None:
    assert merge_expositions([(ONE, True), (TWO, True)]).splitlines() == [
        "# HELP a_total Counted.",
        "# TYPE a_total counter",
        'a_total{b="x y"} 7.0',
        'a_total{b="z"} 1.0',
        "# HELP g Gauge.",
        "# TYPE g gauge",
        "g 3.0",
    ]


def test_an_ended_process_keeps_its_counts_and_loses_its_gauges() -> None:
    text = merge_expositions([(ONE, False), (TWO, True)])
    assert 'a_total{b="x y"} 7.0' in text
    assert "g 1.0" in text


def test_two_processes_on_one_port(tmp_path: Path) -> None:
    here, there = RequestMetrics(), RequestMetrics()
    here.record("/v1/segment", 200, 0.01)
    there.record("/v1/segment", 200, 0.01)
    there.record("/v1/segment", 422, 0.01)
    here.in_flight, there.in_flight = 2, 3
    other = MetricsExporter(there.registry, tmp_path)
    other.write()
    (tmp_path / f"{os.getpid()}.prom").rename(tmp_path / "other.prom")
    asked = MetricsExporter(here.registry, tmp_path)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(asked.export().decode())
        for sample in family.samples
    }
    assert found["adloom_requests_total", "/v1/segment", "200"] == 2
    assert found["adloom_requests_total", "/v1/segment", "422"] == 1
    assert found["adloom_request_seconds_count", "/v1/segment"] == 3
    assert found[(IN_FLIGHT,)] == 5
    long_ago = time.time() - 60
    os.utime(tmp_path / "other.prom", (long_ago, long_ago))
    assert f"{IN_FLIGHT} 2.0" in asked.export().decode()
    assert 'adloom_requests_total{path="/v1/segment",status="200"} 2.0' in asked.export().decode()
