"""The table of models: its rows name functions that exist, and a new row is enough for a new model."""

import json
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest

from adloom.config.gate import Gate
from adloom.config.models import MODELS, ModelSpec
from adloom.config.params import TABLES, Params

ROOT = Path(__file__).parents[3]
GO = """
import json, sys
from pathlib import Path
from tests.support import toy_model
print(json.dumps(toy_model.go(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_a_row_names_a_table_a_stage_a_judge_and_functions_that_exist(spec: ModelSpec) -> None:
    assert spec.table in TABLES
    assert spec.judge is None or spec.judge in MODELS
    stage = import_module(f"adloom.stages.{spec.stage}")
    assert [field.name for field in fields(stage.Outputs)] == [spec.name]
    assert spec.stage in Params.model_fields
    functions = (spec.evaluator, spec.opener, spec.example_request, spec.signature)
    assert all(callable(resolve_name(function)) for function in functions if function)


def test_the_gate_has_rules_for_every_model() -> None:
    gate = Gate.model_validate({name: [{"metric": name, "at_least": 1}] for name in MODELS})
    assert [gate.rules(name)[0].metric for name in MODELS] == list(MODELS)


@pytest.mark.slow
def test_a_model_that_is_only_a_row_and_a_stage_goes_the_whole_way(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GO, str(tmp_path)]
    result = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert (result["register"]["toy.verdict"], result["register"]["toy.champion"]) == ("promote", 1)
    assert (result["served"], result["absent"]) == ({"toy": "Bag"}, {})
    assert (result["listed"], result["asked_for"]) == (["toy"], ["all"])
    assert result["input_of_report"] == "reports/toy"
    assert result["titled"]
    assert result["pipeline"]
    assert result["mlmodel"]
