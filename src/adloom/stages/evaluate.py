"""
Measure one model on its test rows, with 95 % intervals: metrics.json, and the pictures and tables of the report.

A picture generator and a policy need a judge: the reader that looks at the pictures, and the audience whose segments
the policy decides with. Every other model is measured without one.

Example: adloom evaluate --model models/cnn --table data/dataset/creatives --report reports/cnn
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError
from adloom.evaluation import sections
from adloom.evaluation.metric import Evaluation
from adloom.storage import manifest, parquet

MODEL_OF = {  # by manifest.stage
    "train_gan": "gan",
    "train_cnn": "cnn",
    "train_lstm": "lstm",
    "segment": "audience",
    "train_policy": "policy",
}
JUDGES = {"gan": "cnn", "policy": "audience"}  # model: the model that it is measured with


@dataclass(frozen=True)
class Inputs:
    """The model, the table it was made of, and the judge, where the model has one."""

    model: Path
    table: Path
    judge: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the findings go."""

    report: Path


def run(inputs: Inputs, outputs: Outputs, params: Evaluate, context: StageContext) -> Mapping[str, float]:
    """Evaluate one model; a model or table that was skipped makes a skipped report."""
    if manifest.propagate_skip(outputs.report, "evaluate", params, inputs.model, inputs.table):
        return {}
    made_from = {"model": inputs.model, "table": inputs.table} | ({"judge": inputs.judge} if inputs.judge else {})
    for folder in made_from.values():
        manifest.verify(folder)
    evaluation = measure(inputs.model, inputs.table, judge_of(inputs.model, inputs.judge), params)
    with manifest.draft(outputs.report, "evaluate", params, made_from) as draft:
        for name, content in sections.render_files(evaluation).items():
            (draft.path / name).write_bytes(content)
        draft.facts["model"] = name_of(inputs.model)
        draft.environment.update(context.kernels)
    return {name: metric.value for name, metric in evaluation.metrics.items()}


def judge_of(model: Path, judge: Path | None) -> Path:
    """Return the judge of a model: the model itself when none is given. Raises ConfigError when it needs another."""
    if judge is None and (needed := JUDGES.get(name_of(model))):
        raise ConfigError(f"--judge: required for {model}, a {name_of(model)}; give --judge models/{needed}")
    return judge or model


def name_of(model: Path) -> str:
    """Return which of params.MODELS an artifact is. Raises ArtifactError when it is none."""
    stage = manifest.read(model).stage
    if stage not in MODEL_OF:
        raise ArtifactError(f"{model}: made by {stage}, which makes no model; expected one of {', '.join(MODEL_OF)}")
    return MODEL_OF[stage]


def measure(model: Path, table: Path, judge: Path, params: Evaluate, rows_of: Path | None = None) -> Evaluation:
    """
    Measure any model on the test rows (or the holdout period) of a table.

    Which impressions are mature enough to count is the model's own to say, or another policy's, `rows_of`.
    """
    if name_of(model) == "policy":
        return _policy(model, table, judge, rows_of or model)
    measures: dict[str, Callable[[Path, Path, Path, Evaluate], Evaluation]]
    measures = {"gan": _gan, "cnn": _cnn, "lstm": _lstm, "audience": _audience}
    return measures[name_of(model)](model, table, judge, params)


def _gan(model: Path, table: Path, judge: Path, params: Evaluate) -> Evaluation:
    from adloom.creatives import gan_evaluation
    from adloom.onnx_models.runtime import Generator, Reader

    reader = None if manifest.skipped(judge) else Reader(judge, params.threads)
    rows, categories = parquet.read(table), card(model)["categories"]
    rows = rows[rows["split"].isin(["train", "test"])]
    return gan_evaluation.evaluate(Generator(model, params.threads), reader, rows, categories, params, _history(model))


def _cnn(model: Path, table: Path, judge: Path, params: Evaluate) -> Evaluation:
    from adloom.creatives import cnn_evaluation
    from adloom.onnx_models.runtime import Reader

    rows, categories = parquet.read(table, "test"), card(model)["categories"]
    return cnn_evaluation.evaluate(Reader(model, params.threads), rows, categories, params, _history(model))


def _lstm(model: Path, table: Path, judge: Path, params: Evaluate) -> Evaluation:
    from adloom.copywriting import evaluation, tokenizer
    from adloom.onnx_models.runtime import Copywriter

    write, words = Copywriter(model, params.threads), tokenizer.from_json((model / "tokenizer.json").read_text())
    rows = parquet.read(table)
    rows = rows[rows["split"].isin(["train", "test"])]
    return evaluation.evaluate(write, words, rows, card(model)["categories"], params, _history(model))


def _audience(model: Path, table: Path, judge: Path, params: Evaluate) -> Evaluation:
    from adloom.audience import evaluation
    from adloom.audience.segmenter import Segmenter

    segmenter = Segmenter.load(model / "segmenter.npz")
    return evaluation.evaluate(segmenter, parquet.read(table), card(model), params)


def _policy(model: Path, table: Path, audience: Path, rows_of: Path) -> Evaluation:
    from adloom.policy import evaluation
    from adloom.policy.scorer import Policy
    from adloom.stages.train_policy import read_impressions

    known, maturity = card(model), float(card(rows_of)["params"]["maturity_hours"])
    if known["audience"] not in (None, manifest.digest(audience)):
        raise ArtifactError(
            f"{model}: decides with another audience than {audience}; `adloom train-policy` takes this one"
        )
    segments = audience if known["audience"] else None
    calibration, _ = read_impressions(table, segments, "calibration", maturity)
    holdout, left = read_impressions(table, segments, "holdout", maturity)
    return evaluation.evaluate(Policy.load(model / "policy.npz"), calibration, holdout, left, known)


def card(model: Path) -> dict[str, Any]:
    """Return a model's card.json."""
    return json.loads((model / "card.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _history(model: Path) -> dict[str, list[list[float]]]:
    return json.loads((model / "history.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
