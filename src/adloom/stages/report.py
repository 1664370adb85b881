"""
Write one report.html that opens anywhere: metrics against their bars, pictures, tables, data.

Example: adloom report
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.config.gate import Gate
from adloom.config.models import MODELS
from adloom.config.params import TABLES
from adloom.context import StageContext
from adloom.evaluation.sections import read_findings
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.evaluation import report


Inputs: Any = make_dataclass(  # every table and every model's report
    "Inputs",
    [(table, Path, Path("data/dataset") / table) for table in TABLES]
    + [(model, Path, Path("reports") / model) for model in MODELS],
    frozen=True,
)


@dataclass(frozen=True)
class Outputs:
    """The folder of report.html."""

    report: Path = Path("reports/report")


def run(inputs: Any, outputs: Outputs, params: Gate, context: StageContext) -> Mapping[str, float]:
    """Write the report, with a reason for each skipped model and table."""
    from adloom.evaluation import report

    models = {model: _read_model(getattr(inputs, model)) for model in MODELS}
    datasets = {table: _read_dataset(getattr(inputs, table)) for table in TABLES}
    folders = {name: getattr(inputs, name) for name in (*TABLES, *MODELS)}
    with manifest.draft(outputs.report, "report", params, folders) as draft:
        (draft.path / "report.html").write_text(report.render(models, datasets, params), encoding="utf-8")
    return {"models": float(sum(model.findings is not None for model in models.values()))}


def _read_model(folder: Path) -> "report.Model":
    from adloom.evaluation.report import Model

    report = manifest.verify(folder)
    findings = None if report.skipped else read_findings(folder)
    return Model(report.inputs.get("model", ""), findings, report.skipped)


def _read_dataset(folder: Path) -> "report.Dataset":
    from adloom.evaluation.report import Dataset

    table = manifest.read(folder)
    summary = None if table.skipped else json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return Dataset(table.facts.get("licence", ""), table.facts.get("source", ""), summary, table.skipped)
