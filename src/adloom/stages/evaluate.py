"""
Measure one model on its test rows, with 95 % intervals: metrics, and the pictures and tables of the report.

A picture generator and a policy need a judge: the reader that classifies the pictures, and the audience with the
policy's segments. Other models are measured without one.

Example: adloom evaluate --model models/cnn --table data/dataset/creatives --report reports/cnn
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.evaluation import sections
from adloom.stages.measure import find_spec, measure, resolve_judge
from adloom.storage import manifest


@dataclass(frozen=True)
class Inputs:
    """The model, the table it was trained on, and the judge if the model has one."""

    model: Path
    table: Path
    judge: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """The report."""

    report: Path


def run(inputs: Inputs, outputs: Outputs, params: Evaluate, context: StageContext) -> Mapping[str, float]:
    """Evaluate one model; a skipped model or table makes a skipped report."""
    if manifest.propagate_skip(outputs.report, "evaluate", params, inputs.model, inputs.table):
        return {}
    inputs_by_name = {"model": inputs.model, "table": inputs.table} | ({"judge": inputs.judge} if inputs.judge else {})
    for folder in inputs_by_name.values():
        manifest.verify(folder)
    evaluation = measure(inputs.model, inputs.table, resolve_judge(inputs.model, inputs.judge), params)
    with manifest.draft(outputs.report, "evaluate", params, inputs_by_name) as draft:
        for name, content in sections.render_files(evaluation).items():
            (draft.path / name).write_bytes(content)
        draft.facts["model"] = find_spec(inputs.model).name
        draft.environment.update(context.kernels)
    return {name: metric.value for name, metric in evaluation.metrics.items()}
