"""Resources of stages."""

from pathlib import Path
from typing import Any

from tests.support.params_files import load_error

from adloom.config.resources import Pipeline, PodResources


def test_resources_for_an_unknown_stage_are_rejected(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["pipeline"] = {"stages": {"train_gna": {"cpu": "2"}}}
    assert "pipeline.stages: unknown stage train_gna" in load_error(raw, tmp_path)


def test_unset_fields_come_from_the_default() -> None:
    pipeline = Pipeline(default=PodResources(memory="4Gi", gpu=1), stages={"prepare": PodResources(gpu=0, cpu="2")})
    assert pipeline.resources_for("prepare") == PodResources(memory="4Gi", gpu=0, cpu="2")
    assert pipeline.resources_for("segment") == pipeline.default
