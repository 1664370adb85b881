"""The stage report: tables and findings in, one page out."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.config.params import TABLES
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError
from adloom.evaluation.metric import Evaluation, Lines, Metric
from adloom.evaluation.sections import render_files
from adloom.stages.report import Inputs, Outputs, run
from adloom.storage import manifest

GATE = Gate.model_validate(
    {
        "gan": [],
        "cnn": [MetricRule(metric="accuracy", at_least=0.91)],
        "lstm": [],
        "style": [],
        "music": [],
        "audience": [],
        "recommender": [],
        "policy": [],
    }
)
SUMMARY = {
    "rows": {"read": 10, "kept": 10, "test": 1, "train": 9, "quarantined": 0, "dropped": 0},
    "quarantined": {}, "dropped": {}, "duplicates": 0, "categories": {}, "dates": None, "warnings": [],
}  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write a table and the findings about the reader; all else was skipped."""
    paths = {field.name: tmp_path / field.name for field in fields(Inputs)}
    for name in (*TABLES, *MODELS):
        manifest.skip(paths[name], "prepare" if name in TABLES else "evaluate", GATE, f"no source for {name}")
    with manifest.draft(paths["creatives"], "prepare", Source(uri="x"), {}) as draft:
        (draft.path / "summary.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
        draft.facts |= {"licence": "MIT", "source": "fashion-mnist"}
    evaluation = Evaluation({"accuracy": Metric(0.92, 0.91, 0.93, 1, "share")}, {}, [Lines("Worst", "none", ["shirt"])])
    with manifest.draft(paths["cnn"], "evaluate", GATE, {"model": paths["creatives"]}) as draft:
        for name, content in render_files(evaluation).items():
            (draft.path / name).write_bytes(content)
    return Inputs(**paths)


def test_the_page_joins_all_findings(tmp_path: Path, context: StageContext, inputs: Inputs) -> None:
    report = tmp_path / "report"
    assert run(inputs, Outputs(report), GATE, context) == {"models": 1.0}
    sealed = manifest.verify(report)
    assert set(sealed.inputs) == {*TABLES, *MODELS}
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "1 model was measured" in html
    assert "no source for events" in html
    assert f"cnn {manifest.digest(inputs.creatives)[:12]}" in html


def test_equal_inputs_make_equal_bytes(tmp_path: Path, context: StageContext, inputs: Inputs) -> None:
    for name in ("one", "other"):
        run(inputs, Outputs(tmp_path / name), GATE, context)
    assert manifest.digest(tmp_path / "one") == manifest.digest(tmp_path / "other")


def test_a_changed_report_is_refused_and_nothing_is_written(
    tmp_path: Path, context: StageContext, inputs: Inputs
) -> None:
    (inputs.cnn / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"metrics.json: changed since it was written"):
        run(inputs, Outputs(tmp_path / "page"), GATE, context)
    assert not list(tmp_path.glob("*page*"))
