"""A stage that trains nothing: its validation loss is a function of its params, lowest at a known point."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from adloom.config.training import Training
from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.storage import manifest
from adloom.training.tracked_run import track_run
from adloom.tuning.spaces import SearchSpace
from adloom.tuning.study import TuneTask

BEST_RATE = 0.01
SPACE = SearchSpace(
    {
        "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "batch_size": CategoricalDistribution((4, 8)),
    }
)
REFUSED_RATE = 0.5  # the stage refuses a larger one


class TrainToy(Training):
    """The params of the stage."""


@dataclass(frozen=True)
class Inputs:
    copy: Path = Path("data/dataset/copy")


@dataclass(frozen=True)
class Outputs:
    toy: Path = Path("models/toy")


trained: list[TrainToy] = []
interrupt_at: list[int] = []  # numbers of the trainings to interrupt


def run(inputs: Inputs, outputs: Outputs, params: TrainToy, context: StageContext) -> Mapping[str, float]:
    """Log the loss of every epoch; it falls to |log10(rate / BEST_RATE)| + 0.01 for the larger batch."""
    trained.append(params)
    if params.learning_rate > REFUSED_RATE:
        raise ConfigError("train_toy: loss is not finite")
    with track_run("train_toy", inputs.copy, outputs.toy, params, context) as (draft, run):
        for epoch in range(1, params.epochs + 1):
            loss = abs(math.log10(params.learning_rate / BEST_RATE)) + 0.01 * (params.batch_size == 8)
            run.log_metrics({"validation_loss": loss + 1 / epoch, "test_loss": -1.0}, epoch)
            if len(trained) in interrupt_at and epoch == 2:
                raise KeyboardInterrupt
        draft.describe({"model": "toy"}, params)
    return {"validation_loss": loss}


def define_task(table: Path, monkeypatch: pytest.MonkeyPatch, **changes: float) -> TuneTask:
    """Register the stage for a test, and return its task."""
    monkeypatch.setitem(sys.modules, "adloom.stages.train_toy", sys.modules[__name__])
    trained.clear()
    interrupt_at.clear()
    block = {"epochs": 4, "steps_per_epoch": 1, "batch_size": 8, "learning_rate": 0.3} | changes
    assert manifest.read(table).stage == "prepare"
    return TuneTask("train_toy", TrainToy.model_validate(block), SPACE, {"copy": str(table)})
