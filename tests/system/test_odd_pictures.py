"""The generator on small and odd data: each gives a sound result or one clear line."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.support import all_stages, landscapes, painted_pictures, shop

from adloom.arrays import Float32Array, UInt8Array
from adloom.config import params
from adloom.config.params import Evaluate, TrainGan
from adloom.context import StageContext
from adloom.creatives import gan_evaluation, pictures
from adloom.creatives.conditions import ConditionSpace
from adloom.errors import DataError
from adloom.evaluation.metric import Evaluation, Lines
from adloom.onnx_models.runtime import Generator
from adloom.stages import train_gan
from adloom.stages.creative_rows import open_creatives
from adloom.stages.measure import read_card

PARAMS = TrainGan(epochs=1, steps_per_epoch=2, batch_size=8, learning_rate=0.001, width=4, latent=5, threads=1)
EVALUATE = Evaluate(bootstraps=20, threads=1, gan_samples=100)
MODES = {"1": "PNG", "L": "BMP", "LA": "PNG", "I;16": "TIFF", "P": "GIF", "RGB": "JPEG", "RGBA": "WEBP", "CMYK": "TIFF"}
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class ShadeReader:
    """Take the shade of a picture for its category."""

    categories: int

    def __call__(self, picture: Float32Array) -> landscapes.Reading:
        shade = np.clip((picture.mean((1, 2, 3)) + 1) / 2 * self.categories, 0, self.categories - 1).astype(int)
        embedding = landscapes.read(picture).embedding
        return landscapes.Reading(np.eye(self.categories, dtype=np.float32)[shade], embedding)


def make_rows(categories: list[str], splits: list[str], pixels: UInt8Array | None = None) -> pd.DataFrame:
    """Return a table of smooth pictures, or of these."""
    if pixels is None:
        pixels = landscapes.paint(np.arange(len(categories)) % 2, np.random.default_rng(1))
    return pd.DataFrame(
        {
            "creative_id": [f"creative-{number}" for number in range(len(categories))],
            "category": categories,
            "image": pictures.encode_pngs(pixels),
            "width": 28,
            "height": 28,
            "channels": 1,
            "split": splits,
        }
    )


def train_and_evaluate(folder: Path, rows: pd.DataFrame) -> Evaluation:
    """Train a generator, and judge it by everything that judges."""
    table = painted_pictures.write(folder, rows)
    train_gan.run(train_gan.Inputs(table), train_gan.Outputs(folder / "gan"), PARAMS, painted_pictures.context(folder))
    space = ConditionSpace.from_card(read_card(folder / "gan"))
    creatives = painted_pictures.as_table(rows)
    reader = ShadeReader(len(space.categories))
    training = creatives.decode(creatives.find_rows("train", space.categories))
    known = reader(pictures.to_floats(training)).embedding
    judges = gan_evaluation.Judges(reader, known, landscapes.embed)
    return gan_evaluation.evaluate(Generator(folder / "gan", 1), judges, creatives, space, EVALUATE, {})


def find_small(evaluation: Evaluation) -> list[str]:
    """Return the lines on small categories."""
    return [line for section in evaluation.sections if isinstance(section, Lines) for line in section.lines]


def test_seven_pictures(tmp_path: Path) -> None:
    evaluation = train_and_evaluate(tmp_path, make_rows(["hat"] * 7, ["train"] * 5 + ["validation", "test"]))
    assert find_small(evaluation) == ["hat: 5"]
    assert "agreement_lowest" not in evaluation.metrics  # no category is large enough, so the gate holds
    assert {"agreement", "copies", "canary_recall", "recall"} <= set(evaluation.metrics)


def test_without_a_test_picture_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 pictures in split test, expected at least 1; add pictures"):
        train_and_evaluate(tmp_path, make_rows(["hat"] * 7, ["train"] * 7))


def test_one_picture_a_category(tmp_path: Path) -> None:
    names = [f"kind {number}" for number in range(8)]
    evaluation = train_and_evaluate(tmp_path, make_rows(names * 2, ["train"] * 8 + ["test"] * 8))
    assert find_small(evaluation) == [f"{name}: 1" for name in names]
    assert {f"agreement.{name}" for name in names} <= set(evaluation.metrics)


def test_three_hundred_categories(tmp_path: Path) -> None:
    names = [f"kind {number:03}" for number in range(300)]
    evaluation = train_and_evaluate(tmp_path, make_rows(names * 2, ["train"] * 300 + ["test"] * 300))
    assert len([name for name in evaluation.metrics if name.startswith("agreement.")]) == 300
    assert evaluation.metrics["agreement"].n == 300 * gan_evaluation.MIN_PER_CATEGORY


def test_the_gate_rejects_a_generator_of_black_pictures(tmp_path: Path) -> None:
    """New and copied black pictures are the same, so noisy canaries are missed and repeats count as wrong."""
    black = np.zeros((40, 1, 28, 28), np.uint8)
    evaluation = train_and_evaluate(tmp_path, make_rows(["hat"] * 40, ["train"] * 30 + ["test"] * 10, black))
    values = {name: metric.value for name, metric in evaluation.metrics.items()}
    assert all(np.isfinite(value) for value in values.values())
    assert values["canary_recall"] == pytest.approx(2 / 3)
    assert values["precision"] == 0


def test_one_picture_in_five_hundred(tmp_path: Path) -> None:
    splits = (["train"] * 400 + ["test"] * 100) + ["train", "test"]
    evaluation = train_and_evaluate(tmp_path, make_rows(["hat"] * 500 + ["shoe"] * 2, splits))
    assert find_small(evaluation) == ["shoe: 1"]
    assert evaluation.metrics["agreement.shoe"].n == gan_evaluation.MIN_PER_CATEGORY
    lowest, hat = evaluation.metrics["agreement_lowest"], evaluation.metrics["agreement.hat"]
    assert lowest.value == hat.value  # the rare category does not decide


def write_mixed(folder: Path) -> None:
    """Write pictures of every mode and of many sizes."""
    noise = np.random.default_rng(3)
    for number, (mode, kind) in enumerate(list(MODES.items()) * 5):
        width, height = noise.integers(17, 100, 2)
        pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
        path = folder / ("hats", "shoes")[number % 2] / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert("L" if mode == "I;16" else mode).convert(mode).save(path, kind)


def test_mixed_sizes_and_modes_become_one_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: StageContext
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mixed(tmp_path / "mixed")
    values = shop.params() | {"ingest": {"creatives": {"uri": "mixed", "format": "folder", "licence": "own work"}}}
    values["prepare"]["transparency"] = "keep"
    all_stages.run_all(params.load(shop.write_params(tmp_path, values)), context)
    table = open_creatives(Path("data/dataset/creatives"))
    assert len(table.rows) == 5 * len(MODES)
    assert table.shape == (3, 64, 64)
    assert [read_card(Path("models", model))["image"]["channels"] for model in ("gan", "cnn")] == [4, 3]
    for model in ("gan", "cnn"):
        report = json.loads(Path("reports", model, "metrics.json").read_text())
        assert all(np.isfinite(metric["value"]) for metric in report.values())
