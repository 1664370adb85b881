"""The metrics of the last drift comparison."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.support.drift_samples import make_impressions

from adloom.cli.drift_metrics import DriftMetrics
from adloom.config.base import ConfigModel
from adloom.config.drift import Drift
from adloom.context import StageContext
from adloom.stages.drift import Inputs, Outputs, run
from adloom.storage import manifest, parquet


@pytest.mark.slow
def test_a_comparison_is_exported_by_feature(tmp_path: Path, context: StageContext) -> None:
    for period, segments in (("old", "ab"), ("new", "aaab")):
        with manifest.draft(tmp_path / period, "prepare", ConfigModel(), {}) as draft:
            parquet.write(make_impressions(2000, len(segments), segments), draft.path)
    run(Inputs(tmp_path / "old", tmp_path / "new"), Outputs(tmp_path / "report"), Drift(), context)
    metrics = DriftMetrics(registry := CollectorRegistry())
    metrics.update(context.tracker)
    effect = {
        name: registry.get_sample_value("adloom_drift_effect", {"table": "impressions", "feature": name})
        for name in ("ctx_segment", "placement")
    }
    assert effect["ctx_segment"] == pytest.approx(0.27, abs=0.1)  # shares of 1/2 and 3/4: ln(3) / 4
    assert effect["placement"] == 0
    assert registry.get_sample_value("adloom_drift_alarms") == 1
    assert registry.get_sample_value("adloom_drift_compared_seconds") > 1.7e9  # type: ignore[operator]


def test_before_the_first_comparison_there_are_no_samples(context: StageContext) -> None:
    metrics = DriftMetrics(registry := CollectorRegistry())
    metrics.update(context.tracker)
    assert [sample for family in registry.collect() for sample in family.samples] == []
