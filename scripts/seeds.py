"""
Train and measure models with several seeds, and print the gated metrics with 95 % intervals over the seeds.

Run it in the folder of a project with prepared tables: `adloom run`, then `python scripts/seeds.py`. Models and reports
go to .adloom/seeds/SEED. Results that exist for the same params and data are kept, so an interrupted run continues.
"""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from scipy.stats import t

from adloom.arrays import Float64Array
from adloom.cli.options import load_working_context
from adloom.config.base import ConfigModel
from adloom.config.models import MODELS
from adloom.config.params import TABLES, Params
from adloom.context import StageContext
from adloom.errors import AdloomError
from adloom.evaluation.metric import parse_metrics
from adloom.stages.runner import run_stage
from adloom.storage import manifest

DATASET = Path("data/dataset")
LEVEL = 0.975  # of the two-sided 95 % interval


def main() -> None:
    """Print the table, or one line about what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, at least 2 (default 5)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="models to train")
    arguments = parser.parse_args()
    if arguments.seeds <= 1:
        parser.error(f"--seeds: {arguments.seeds}, expected at least 2")
    try:
        params, context = load_working_context(Path("params.yaml"))
        print(tabulate(measure_seeds(arguments.models, range(1, arguments.seeds + 1), params, context), params))
    except AdloomError as error:
        parser.error(str(error))


def measure_seeds(
    models: Sequence[str], seeds: Sequence[int], params: Params, context: StageContext
) -> dict[str, dict[str, Float64Array]]:
    """Return the values (seeds,) of every metric that each seed has, by model."""
    runs = [_measure_models(models, params, context, context.home / "seeds" / str(seed), seed) for seed in seeds]
    result: dict[str, dict[str, Float64Array]] = {}
    for model in models:
        shared = set.intersection(*(set(run[model]) for run in runs))
        result[model] = {name: np.array([run[model][name] for run in runs]) for name in sorted(shared)}
    return result


def compute_interval(values: Float64Array) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean."""
    margin = t.ppf(LEVEL, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - margin), float(values.mean() + margin)


def tabulate(values: Mapping[str, Mapping[str, Float64Array]], params: Params) -> str:
    """Return a Markdown table of the gated metrics."""
    lines = ["| model | metric | mean | 95 % interval | each seed |", "|---|---|---|---|---|"]
    for model, metrics in values.items():
        gated = dict.fromkeys(rule.metric for rule in params.gate.rules(model))
        for name in (name for name in gated if name in metrics):
            low, high = compute_interval(metrics[name])
            each = ", ".join(f"{value:.4g}" for value in metrics[name])
            lines.append(f"| {model} | {name} | {metrics[name].mean():.4g} | {low:.4g} … {high:.4g} | {each} |")
    return "\n".join(lines)


def list_trainings(models: Sequence[str]) -> list[str]:
    """Return the models, their judges and the models of which their trainings read, in order of training."""
    needed = set(models)
    for name in reversed(MODELS):  # a model reads earlier ones
        if name in needed:
            needed.update(other for other in (MODELS[name].judge, *_list_inputs(name)) if other and other in MODELS)
    return sorted(needed, key=lambda name: (MODELS[name].judge is not None, list(MODELS).index(name)))  # judges first


def _list_inputs(model: str) -> list[str]:
    """Return the tables and models that a training reads."""
    inputs = importlib.import_module(f"adloom.stages.{MODELS[model].stage}").Inputs
    return [field.name for field in fields(inputs) if field.name in (*TABLES, *MODELS)]


def _measure_models(
    models: Sequence[str], params: Params, context: StageContext, folder: Path, seed: int
) -> dict[str, dict[str, float]]:
    """Train the models and what they need with a seed; return their metrics."""
    for model in list_trainings(models):
        _train(model, params, context, folder, seed)
    metrics: dict[str, dict[str, float]] = {}
    for model in models:
        report = _evaluate(model, params, context, folder)
        file = report / "metrics.json"
        known = parse_metrics(file.read_text(encoding="utf-8")) if file.exists() else {}
        metrics[model] = {name: metric.value for name, metric in known.items()}
    return metrics


def _train(model: str, params: Params, context: StageContext, folder: Path, seed: int) -> None:
    stage, target = MODELS[model].stage, folder / "models" / model
    block = params.block(stage).model_copy(update={"seed": seed})
    inputs = {name: (DATASET if name in TABLES else folder / "models") / name for name in _list_inputs(model)}
    if not _is_current(target, block, inputs):
        print(f"seed {seed}: {stage}", flush=True)
        run_stage(stage, {**_to_text(inputs), model: str(target)}, block, context)


def _evaluate(model: str, params: Params, context: StageContext, folder: Path) -> Path:
    spec, report = MODELS[model], folder / "reports" / model
    inputs = {"model": folder / "models" / model, "table": DATASET / spec.table}
    inputs |= {"judge": folder / "models" / spec.judge} if spec.judge else {}
    if not _is_current(report, params.evaluate, inputs):
        run_stage("evaluate", {**_to_text(inputs), "report": str(report)}, params.evaluate, context)
    return report


def _is_current(artifact: Path, block: ConfigModel, inputs: Mapping[str, Path]) -> bool:
    """Return whether an artifact was made with these params from the present inputs."""
    if not (artifact / manifest.MANIFEST).is_file():
        return False
    made = manifest.read(artifact)
    present = {manifest.digest(folder) for folder in inputs.values() if (folder / manifest.MANIFEST).is_file()}
    return made.params == block.digest() and set(made.inputs.values()) <= present


def _to_text(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items()}


if __name__ == "__main__":
    main()
