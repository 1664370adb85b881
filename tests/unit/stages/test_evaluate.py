"""The stage evaluate: one model in, its findings out, on test rows; skipped things pass on why."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import MakeTable
from tests.support.copywriters import EVALUATE, copy_rows, copywriter

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError
from adloom.evaluation.metric import Lines, Table
from adloom.evaluation.sections import parse_findings
from adloom.stages import evaluate
from adloom.stages.measure import measure
from adloom.storage import manifest


def test_a_report_holds_numbers_and_what_to_look_at(
    tmp_path: Path, context: StageContext, make_table: MakeTable
) -> None:
    model, table, report = copywriter(tmp_path / "lstm"), make_table("copy", copy_rows()), tmp_path / "reports" / "lstm"
    values = evaluate.run(evaluate.Inputs(model, table), evaluate.Outputs(report), EVALUATE, context)
    sealed = manifest.verify(report)
    assert (sealed.facts, sealed.inputs["model"]) == ({"model": "lstm"}, manifest.digest(model))
    findings = parse_findings({name: (report / name).read_bytes() for name in sealed.files})
    assert {name: metric.value for name, metric in findings.metrics.items()} == values
    assert findings.metrics["bits_per_character"].n == 2  # the distinct lines of split test
    assert {Table, Lines} <= {type(section) for section in findings.sections}


def test_equal_inputs_make_equal_bytes(tmp_path: Path, context: StageContext, make_table: MakeTable) -> None:
    model, table = copywriter(tmp_path / "lstm"), make_table("copy", copy_rows())
    reports = [tmp_path / name for name in ("one", "other")]
    for report in reports:
        evaluate.run(evaluate.Inputs(model, table), evaluate.Outputs(report), EVALUATE, context)
    assert manifest.digest(reports[0]) == manifest.digest(reports[1])


@pytest.mark.slow
def test_a_model_without_a_judge_is_its_own_and_one_that_needs_one_says_so(
    tmp_path: Path, context: StageContext, make_table: MakeTable
) -> None:
    model, table = copywriter(tmp_path / "lstm"), make_table("copy", copy_rows())
    values = [
        evaluate.run(evaluate.Inputs(model, table, judge), evaluate.Outputs(tmp_path / "report"), EVALUATE, context)
        for judge in (None, model)
    ]
    assert values[0] == values[1]
    with manifest.draft(tmp_path / "gan", "train_gan", Source(uri="x"), {}):
        pass
    with pytest.raises(ConfigError, match=r"^--judge: required for .*gan, a gan; give --judge models/cnn$"):
        evaluate.run(evaluate.Inputs(tmp_path / "gan", table), evaluate.Outputs(tmp_path / "report"), EVALUATE, context)


@pytest.mark.parametrize("absent", ["model", "table"])
def test_what_was_skipped_is_passed_on(
    tmp_path: Path, context: StageContext, absent: str, make_table: MakeTable
) -> None:
    folders = {"model": copywriter(tmp_path / "lstm"), "table": make_table("copy", copy_rows())}
    folders[absent] = tmp_path / "skipped"
    manifest.skip(folders[absent], "train_lstm", Source(uri="x"), "no source: ingest.copy is not given")
    inputs = evaluate.Inputs(folders["model"], folders["table"], folders["model"])
    assert evaluate.run(inputs, evaluate.Outputs(tmp_path / "report"), EVALUATE, context) == {}
    assert manifest.skip_reason(tmp_path / "report") == "no source: ingest.copy is not given"


def test_a_changed_model_is_refused_and_nothing_is_written(
    tmp_path: Path, context: StageContext, make_table: MakeTable
) -> None:
    model, table = copywriter(tmp_path / "lstm"), make_table("copy", copy_rows())
    (model / "copywriter.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=r"copywriter.onnx: changed since it was written; make or fetch lstm again"):
        evaluate.run(evaluate.Inputs(model, table), evaluate.Outputs(tmp_path / "report"), EVALUATE, context)
    assert not list(tmp_path.glob("*report*"))


def test_what_is_no_model_is_named(tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table("copy", copy_rows())
    with pytest.raises(ArtifactError, match="made by prepare, which makes no model; expected one of train_gan, train_"):
        measure(table, table, table, EVALUATE)


@pytest.mark.slow
def test_measuring_looks_at_test_rows_only(tmp_path: Path, make_table: MakeTable) -> None:
    model, rows = copywriter(tmp_path / "lstm"), copy_rows()
    before = measure(model, make_table("copy", rows), model, EVALUATE)
    rows.loc[rows["split"] == "test", "text"] = "Zzyzx qwerty"
    after = measure(model, make_table("copy", rows), model, EVALUATE)
    assert after.metrics["bits_per_character"].value > 2 * before.metrics["bits_per_character"].value
    rows["split"] = np.where(rows["split"] == "test", "validation", rows["split"])
    rows.loc[rows.index[-1], ["split", "text"]] = ["test", "Very soft dress"]
    assert measure(model, make_table("copy", rows), model, EVALUATE).metrics["bits_per_character"].n == 1


@pytest.mark.slow
def test_the_stage_is_light_until_it_runs() -> None:
    program = (
        "import sys, adloom.stages.evaluate, adloom.stages.register, adloom.stages.report\n"
        "assert not {'torch', 'mlflow', 'sklearn', 'matplotlib', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
