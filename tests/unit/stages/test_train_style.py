"""train_style on sixty painted pictures and random pretrained weights: the artifact, its bytes, its evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support import painted_pictures
from tests.support.interrupted_training import interrupt
from tests.support.random_efficientnet import pin_weights

from adloom.config.params import Evaluate, TrainStyle
from adloom.creatives import style_evaluation
from adloom.creatives.style_module import StyleModule
from adloom.errors import DataError
from adloom.onnx_models.runtime import DreamGradient, Stylizer
from adloom.stages import evaluate, train_style
from adloom.stages.train_style import Inputs, Outputs
from adloom.storage import manifest

pytestmark = pytest.mark.slow

SMALL = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "threads": 1, "width": 4, "edge": 32, "drawn": 4}


def train(folder: Path, table: Path, weights: Path, **changes: object) -> Path:
    params = TrainStyle.model_validate({"learning_rate": 0.01, "pretrained": str(weights), **SMALL, **changes})
    train_style.run(Inputs(table), Outputs(folder / "style"), params, painted_pictures.context(folder))
    return folder / "style"


@pytest.fixture(scope="module")
def patch() -> "pytest.MonkeyPatch":  # type: ignore[misc]
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Path:
    return pin_weights(tmp_path_factory.mktemp("weights"), patch)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_pictures.write(tmp_path_factory.mktemp("table"), painted_pictures.rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, table: Path, weights: Path) -> Path:
    return train(tmp_path_factory.mktemp("trained"), table, weights)


def test_the_artifact_holds_a_stylizer_and_a_dream_for_any_size(trained: Path, weights: Path) -> None:
    files = {"stylizer.onnx", "dream.onnx", "judge.safetensors", "history.json", "card.json"}
    assert set(manifest.verify(trained).files) == files
    picture = np.random.default_rng(1).uniform(-1, 1, (1, 3, 64, 96)).astype(np.float32)
    painted = Stylizer(trained, 1)(picture, picture[:, :, :32], np.ones(1, np.float32))
    assert painted.shape == picture.shape
    assert np.abs(painted).max() <= 1
    gradient = DreamGradient(trained, 1)
    assert (gradient.layers, gradient(picture, 10).shape) == (11, picture.shape)


def test_the_same_training_gives_the_same_bytes(trained: Path, table: Path, weights: Path, tmp_path: Path) -> None:
    assert manifest.digest(train(tmp_path, table, weights)) == manifest.digest(trained)


def test_a_resumed_training_equals_an_uninterrupted_one(
    trained: Path, table: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, StyleModule, (1, 1), lambda: train(tmp_path, table, weights))
    assert not (tmp_path / "style").exists()
    assert manifest.digest(train(tmp_path, table, weights)) == manifest.digest(trained)


def test_it_is_measured_beside_optimised_pictures(
    trained: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style_evaluation, "STEPS", 6)
    context, report = painted_pictures.context(tmp_path), evaluate.Outputs(tmp_path / "report")
    metrics = evaluate.run(evaluate.Inputs(trained, table), report, Evaluate(threads=1, bootstraps=20), context)
    assert set(metrics) == {"style_ratio", "content_change", "optimised_style_ratio", "optimised_content_change"}
    sections = json.loads((report.report / "sections.json").read_text())
    assert [section["title"] for section in sections] == ["Stylised pictures", "A dream", "Losses", "Learning curves"]


def test_other_weights_are_refused(table: Path, weights: Path, tmp_path: Path) -> None:
    other = tmp_path / weights.name
    other.write_bytes(b"other")
    with pytest.raises(DataError, match="expected sha256"):
        train(tmp_path, table, other)


def test_a_skipped_table_and_a_switched_off_stage_skip_the_stylizer(table: Path, weights: Path, tmp_path: Path) -> None:
    assert manifest.read(train(tmp_path, table, weights, enabled=False)).skipped
