"""dvc.yaml matches the stages: the same names, paths and parameters."""

import importlib
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from adloom.cli.stages import STAGES
from adloom.config.models import MODELS
from adloom.config.params import TABLES, Params

ROOT = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
JUDGES = {name: spec.judge for name, spec in MODELS.items() if spec.judge}
PLAIN = [name for name in PIPELINE if name != "evaluate"]


def names(entries: list[Any]) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def defaults(kind: type) -> set[str]:
    return {str(field.default) for field in fields(kind) if field.default is not MISSING}


@pytest.mark.parametrize("stage", PLAIN)
def test_a_stage_has_one_name_everywhere(stage: str) -> None:
    module = importlib.import_module(f"adloom.stages.{stage}")
    assert PIPELINE[stage]["cmd"] == f"adloom {stage.replace('_', '-')}"
    assert names(PIPELINE[stage]["outs"]) == defaults(module.Outputs)
    deps = {dep.removesuffix("/manifest.json") for dep in PIPELINE[stage]["deps"]}
    assert deps == defaults(module.Inputs)


@pytest.mark.parametrize("stage", PLAIN)
def test_a_stage_depends_on_its_own_block_alone(stage: str) -> None:
    expected = "gate" if stage == "report" else stage
    assert PIPELINE[stage]["params"] == [expected]
    assert expected in Params.model_fields


def test_every_stage_without_the_registry_is_in_the_pipeline() -> None:
    assert {name.replace("-", "_") for name in STAGES} - {"register", "score"} == set(PIPELINE)


def test_evaluate_names_each_model_its_table_and_its_judge() -> None:
    rows = PIPELINE["evaluate"]["foreach"]
    assert {model: row["table"] for model, row in rows.items()} == {name: spec.table for name, spec in MODELS.items()}
    assert {model: row["judge"] for model, row in rows.items()} == {
        name: spec.judge or name for name, spec in MODELS.items()
    }
    module = importlib.import_module("adloom.stages.evaluate")
    options = set(re.findall(r"--(\w+)", PIPELINE["evaluate"]["do"]["cmd"]))
    required = {f.name for kind in (module.Inputs, module.Outputs) for f in fields(kind) if f.default is MISSING}
    assert options == required
    judges = {model: row["judge_option"] for model, row in rows.items() if row["judge_option"]}
    assert judges == {model: f" --judge models/{judge}" for model, judge in JUDGES.items()}


def test_raw_tables_hold_identifiers_and_are_never_cached() -> None:
    assert PIPELINE["ingest"]["outs"] == [{f"data/raw/{table}": {"cache": False}} for table in TABLES]
