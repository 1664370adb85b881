"""A sixth model, which predicts the most common category of copy: its ModelSpec, stage and full lifecycle."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.config.models import MODELS, ModelSpec, TableSignature

ROW = ModelSpec(
    name="toy",
    title="Toy",
    summary="Knows the most common category.",
    table="copy",
    stage="train_toy",
    evaluator=f"{__name__}:measure",
    opener=f"{__name__}:open_toy",
    signature=f"{__name__}:describe_columns",
)
MODELS[ROW.name] = ROW  # before any module that reads the table

from adloom.config.base import ConfigModel  # noqa: E402
from adloom.config.gate import Gate  # noqa: E402
from adloom.config.params import Evaluate, Register  # noqa: E402
from adloom.config.resources import COMPONENTS  # noqa: E402
from adloom.config.sources import Source  # noqa: E402
from adloom.context import StageContext  # noqa: E402
from adloom.evaluation.metric import Evaluation, Metric, Sample  # noqa: E402
from adloom.evaluation.report import Model, render  # noqa: E402
from adloom.evaluation.sections import read_findings  # noqa: E402
from adloom.kubeflow.compiled_pipelines import STAGES  # noqa: E402
from adloom.registry import mlmodel, promotion  # noqa: E402
from adloom.registry.memory import MemoryRegistry  # noqa: E402
from adloom.serving.models import loader  # noqa: E402
from adloom.serving.models.bundle_cache import BundleCache  # noqa: E402
from adloom.serving.models.card import ModelCard  # noqa: E402
from adloom.serving.models.sources import find_champions  # noqa: E402
from adloom.serving.server import APPS  # noqa: E402
from adloom.stages import report, runner  # noqa: E402
from adloom.stages.measure import Subject, read_card  # noqa: E402
from adloom.storage import manifest, parquet  # noqa: E402
from adloom.storage.local import FolderStore  # noqa: E402
from adloom.tracking.memory import MemoryTracker  # noqa: E402
from adloom.training.tracked_run import track_run  # noqa: E402


class TrainToy(ConfigModel):
    """The params of its stage."""


@dataclass(frozen=True)
class Inputs:
    copy: Path = Path("data/dataset/copy")


@dataclass(frozen=True)
class Outputs:
    toy: Path = Path("models/toy")


def run(inputs: Inputs, outputs: Outputs, params: TrainToy, context: StageContext) -> Mapping[str, float]:
    with track_run("train_toy", inputs.copy, outputs.toy, params, context) as (draft, _):
        categories = parquet.read(inputs.copy, "train")["category"].tolist()
        draft.describe({"model": "toy", "categories": [Counter(categories).most_common(1)[0][0]]}, params)
    return {}


def measure(subject: Subject) -> Evaluation:
    rows = parquet.read(subject.table, "test")
    hit = (rows["category"] == read_card(subject.model)["categories"][0]).to_numpy(np.float64)
    accuracy = Metric(hit.mean(), hit.min(), hit.max(), len(hit), "share")
    return Evaluation({"accuracy": accuracy}, {"accuracy": Sample((hit,), np.average, "share")}, [])


def open_toy(folder: Path, card: ModelCard, threads: int) -> str:
    return card.categories[0]


def describe_columns(folder: Path) -> TableSignature:
    return TableSignature({"text": "string"}, frozenset(), ("category", "string"), {"text": "a line"})


def go(folder: Path) -> dict[str, object]:
    """Train, evaluate, register and open the model; return where it appears."""
    import pandas as pd

    sys.modules["adloom.stages.train_toy"] = sys.modules[__name__]
    registry = MemoryRegistry(folder / "registry")
    context = StageContext(FolderStore(), MemoryTracker(), registry, None, folder / ".adloom", progress=False)
    table, model, measured = folder / "data/dataset/copy", folder / "models/toy", folder / "reports/toy"
    splits = ["train"] * 4 + ["test"] * 4
    rows = pd.DataFrame({"text": list("abcdefgh"), "category": ["Bag", "Bag", "Bag", "Boot"] * 2, "split": splits})
    with manifest.draft(table, "prepare", Source(uri="test"), {}) as draft:
        parquet.write(rows, draft.path)
    gate: dict[str, list[dict[str, object]]] = {name: [] for name in MODELS}
    gate |= {"toy": [{"metric": "accuracy", "at_least": 0.7}]}
    params = Register(evaluate=Evaluate(bootstraps=20), gate=Gate.model_validate(gate))
    runner.run_stage("train-toy", {"copy": str(table), "toy": str(model)}, TrainToy(), context)
    paths = {"model": str(model), "table": str(table), "report": str(measured)}
    runner.run_stage("evaluate", paths, params.evaluate, context)
    outcome = runner.run_stage("register", paths, params, context)
    served = loader.load(find_champions(registry, BundleCache(folder / "bundles"), ["toy"]), threads=1)
    mlmodel.write("toy", model, folder / "mlflow", "a run")
    findings = read_findings(measured)
    return {
        "register": dict(outcome),
        "served": {name: bundle.model for name, bundle in served.loaded.items()},
        "absent": dict(served.absent),
        "listed": [row.model for row in promotion.summarize(registry)],
        "titled": ROW.title in render({"toy": Model("d" * 64, findings, None)}, {}, params.gate),
        "asked_for": [name for name, app in APPS.items() if "toy" in app.models],
        "input_of_report": str(report.Inputs().toy),
        "pipeline": "train_toy" in STAGES["training"] and "train_toy" in COMPONENTS,
        "mlmodel": (folder / "mlflow" / "MLmodel").is_file(),
    }
