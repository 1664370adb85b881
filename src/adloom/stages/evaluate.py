"""
Measure one model on its test rows, with 95 % intervals.

The picture generator needs the picture reader as judge, the policy its audience. Other models need none.

Example: adloom evaluate --model models/cnn --table data/dataset/creatives --report reports/cnn
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.storage import manifest


@dataclass(frozen=True)
class Inputs:
    """The model, its table and its judge."""

    model: Path
    table: Path
    judge: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """The report."""

    report: Path


def run(inputs: Inputs, outputs: Outputs, params: Evaluate, context: StageContext) -> Mapping[str, float]:
    """Evaluate one model, unless it or its table was skipped."""
    if manifest.propagate_skip(outputs.report, "evaluate", params, inputs.model, inputs.table):
        return {}
    from adloom.evaluation import sections
    from adloom.stages.measure import find_spec, measure, resolve_judge

    inputs_by_name = {"model": inputs.model, "table": inputs.table} | ({"judge": inputs.judge} if inputs.judge else {})
    for folder in inputs_by_name.values():
        manifest.verify(folder)
    evaluation = measure(inputs.model, inputs.table, resolve_judge(inputs.model, inputs.judge), params, context)
    with manifest.draft(outputs.report, "evaluate", params, inputs_by_name) as draft:
        for name, content in sections.render_files(evaluation).items():
            (draft.path / name).write_bytes(content)
        draft.facts["model"] = find_spec(inputs.model).name
        draft.environment.update(context.kernels)
    return {name: metric.value for name, metric in evaluation.metrics.items()}
