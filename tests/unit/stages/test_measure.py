"""Measuring pictures: the reader judges itself, and the generator too unless it was skipped."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support import painted_pictures, random_efficientnet, tiny_models

from adloom.config.gate import MetricRule
from adloom.config.params import Evaluate
from adloom.config.sources import Source
from adloom.creatives.pictures import encode_pngs
from adloom.evaluation.gate import decide
from adloom.stages.measure import measure
from adloom.storage import manifest

EVALUATE = Evaluate(threads=1, bootstraps=20, gan_samples=100)


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    """Write noisy shades of grey, one shade a category, as the tiny reader knows them."""
    rng = np.random.default_rng(0)
    shade = np.tile([40, 120, 200], 40)[:, None, None, None]
    pixels = np.clip(shade + rng.integers(-30, 30, (120, 1, 28, 28)), 0, 255).astype(np.uint8)
    rows = pd.DataFrame(
        {
            "creative_id": [str(i) for i in range(120)],
            "category": tiny_models.CATEGORIES * 40,
            "image": encode_pngs(pixels),
            "width": 28, "height": 28, "channels": 1,
            "split": ["train"] * 60 + ["test"] * 60,
            "attr_tone": ["dark", "dark", "light"] * 40,
        }
    )  # fmt: skip
    return make_table("creatives", rows)


def with_history(model: Path, stage: str) -> Path:
    """Return a copy of a tiny model, with the curves that a training leaves."""
    target = model.with_name(f"{model.name}-trained")
    with manifest.draft(target, stage, Source(uri="x"), {}) as draft:
        for path in model.iterdir():
            if path.name != manifest.MANIFEST:
                shutil.copy(path, draft.path)
        (draft.path / "history.json").write_text(json.dumps({"loss": [[1, 2.0], [2, 1.0]]}), encoding="utf-8")
    return target


@pytest.mark.slow
def test_the_reader_is_measured_on_test_pictures(tmp_path: Path, table: Path) -> None:
    tiny_models.write_reader(tmp_path / "cnn")
    model = with_history(tmp_path / "cnn", "train_cnn")
    evaluation = measure(model, table, model, EVALUATE)
    assert evaluation.metrics["accuracy"].n == 60
    assert set(evaluation.metrics) >= {
        "accuracy",
        "macro_f1",
        "ece",
        *(f"accuracy.{c}" for c in tiny_models.CATEGORIES),
    }
    assert "accuracy" in evaluation.samples


@pytest.mark.slow
def test_without_a_reader_the_generator_is_held(tmp_path: Path, table: Path) -> None:
    tiny_models.write_generator(tmp_path / "gan")
    tiny_models.write_reader(tmp_path / "cnn")
    model = with_history(tmp_path / "gan", "train_gan")
    judged = measure(model, table, tmp_path / "cnn", EVALUATE)
    manifest.skip(tmp_path / "none", "train_cnn", Source(uri="x"), "train_cnn.enabled is false")
    alone = measure(model, table, tmp_path / "none", EVALUATE)
    assert {"agreement", "frechet_distance", "copies"} <= set(judged.metrics)
    assert set(alone.metrics) == {"copies", "nearest_distance", "canary_recall", "repeats"}
    rules = [MetricRule(metric="agreement", at_least=0.0), MetricRule(metric="copies", at_most=1.0)]
    assert decide(judged.metrics, None, rules).verdict == "promote"
    assert decide(alone.metrics, None, rules).verdict == "hold"


@pytest.mark.slow
def test_pretrained_features_and_the_training_pictures_of_the_reader_judge_too(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(random_efficientnet.pin_weights(tmp_path / "mirror", monkeypatch))
    tiny_models.write_generator(tmp_path / "gan")
    tiny_models.write_reader(tmp_path / "cnn")
    reader = tmp_path / "trained-cnn"
    with manifest.draft(reader, "train_cnn", Source(uri="x"), {}) as draft:
        shutil.copy(tmp_path / "cnn" / "reader.onnx", draft.path)
        ids = np.array([str(number) for number in range(60)])
        embedding = np.tile(np.eye(tiny_models.DIMENSIONS, dtype=np.float16), (60, 1))[:60]
        np.savez(draft.path / "known.npz", creative_id=ids, embedding=embedding)
    model, params = with_history(tmp_path / "gan", "train_gan"), EVALUATE.model_copy(update={"features": uri})
    metrics = measure(model, table, reader, params, painted_pictures.context(tmp_path)).metrics
    assert metrics["outliers"].n == metrics["agreement"].n
    assert "ct_statistic" in metrics
    other = measure(model, table, tmp_path / "cnn", EVALUATE).metrics  # the tiny reader knows other pictures
    assert {"outliers", "ct_statistic"} & set(other) == set()


@pytest.mark.slow
def test_attributes_are_measured_by_a_reader_of_the_same_attributes(
    tmp_path: Path, table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_models.write_generator(tmp_path / "gan", tones=["dark", "light"])
    tiny_models.write_reader(tmp_path / "cnn", tones=["dark", "light"])
    tiny_models.write_reader(tmp_path / "other")
    gan, cnn = with_history(tmp_path / "gan", "train_gan"), with_history(tmp_path / "cnn", "train_cnn")
    assert measure(gan, table, cnn, EVALUATE).metrics["attribute_agreement.tone"].n == 100
    assert measure(cnn, table, cnn, EVALUATE).metrics["attribute_accuracy.tone"].value > 0.6
    assert "attribute_agreement.tone" not in measure(gan, table, tmp_path / "other", EVALUATE).metrics
    assert "attributes are not measured" in caplog.text
