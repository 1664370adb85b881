"""A reader from scratch or on pretrained features, the better by validation where data is small or coloured."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support import painted_pictures
from tests.support.random_efficientnet import pin_weights

from adloom.config.params import TrainCnn
from adloom.creatives.efficientnet import EDGE
from adloom.creatives.pictures import decode_pngs, to_floats
from adloom.creatives.table import Creatives
from adloom.onnx_models.runtime import Reader
from adloom.stages import train_cnn
from adloom.stages.reader_candidates import complete_params, list_backbones
from adloom.stages.train_cnn import Inputs, Outputs
from adloom.storage import manifest

PARAMS = TrainCnn(epochs=2, steps_per_epoch=30, batch_size=16, learning_rate=0.02, width=4, embedding=6, threads=1)


def train(folder: Path, weights: Path, backbone: str, channels: int = 1, size: int = 32) -> tuple[Path, str]:
    table = folder / "creatives"
    if not table.exists():
        painted_pictures.write(folder, painted_pictures.rows(size=size, channels=channels))
    params = PARAMS.model_copy(update={"backbone": backbone, "pretrained": str(weights)})
    train_cnn.run(Inputs(table), Outputs(folder / backbone), params, painted_pictures.context(folder))
    return folder / backbone, json.loads((folder / backbone / "card.json").read_text())["backbone"]


@pytest.mark.slow
def test_a_reader_is_trained_on_pretrained_features_and_reads_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = pin_weights(tmp_path / "weights", monkeypatch)
    size = EDGE + 4  # larger than it reads
    model, backbone = train(tmp_path, weights, "efficientnet_lite0", channels=3, size=size)
    assert backbone == "efficientnet_lite0"
    rows = painted_pictures.rows(size=size, channels=3)
    reading = Reader(model, threads=1)(to_floats(decode_pngs(rows["image"].tolist(), 3, size, size)))
    assert (reading.probabilities.argmax(1) == np.arange(60) % 2).mean() >= 0.9
    again, _ = train(tmp_path, weights, "efficientnet_lite0")
    assert manifest.digest(again) == manifest.digest(model)


@pytest.mark.slow
def test_auto_keeps_the_better_on_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = pin_weights(tmp_path / "weights", monkeypatch)
    for backbone in ("efficientnet_lite0", "scratch"):
        train(tmp_path, weights, backbone)
    model, chosen = train(tmp_path, weights, "auto")
    losses = {
        name: json.loads((tmp_path / name / "history.json").read_text())["validation_loss"][-1][1]
        for name in ("efficientnet_lite0", "scratch")
    }
    assert chosen == min(losses, key=losses.__getitem__)
    assert manifest.read(model).files["reader.onnx"] == manifest.read(tmp_path / chosen).files["reader.onnx"]


@pytest.mark.parametrize(
    ("pictures", "size", "epochs", "width", "steps"),
    [
        (56_000, 28, 3, 28, 330),
        (56_000, 128, 3, 20, 200),
        (200, 64, 2, 24, 100),
        (3, 32, 3, 24, 33),
        (3, 28, 500, 28, 1),
    ],
)
def test_larger_pictures_get_narrower_nets_and_few_pictures_fewer_steps(
    pictures: int, size: int, epochs: int, width: int, steps: int
) -> None:
    params = complete_params(TrainCnn(epochs=epochs, batch_size=128, learning_rate=0.004), pictures, size)
    assert (params.width, params.steps_per_epoch) == (width, steps)


def test_explicit_params_stay() -> None:
    assert complete_params(PARAMS, 200, 28) == PARAMS


@pytest.mark.parametrize(
    ("number", "channels", "changes", "expected"),
    [
        (5_000, 1, {}, ["efficientnet_lite0", "scratch"]),
        (5_001, 1, {}, ["scratch"]),
        (10_000, 3, {}, ["efficientnet_lite0", "scratch"]),
        (10_001, 3, {}, ["scratch"]),
        (20, 3, {"devices": 2}, ["scratch"]),
        (20, 3, {"backbone": "scratch"}, ["scratch"]),
        (60_000, 1, {"backbone": "efficientnet_lite0"}, ["efficientnet_lite0"]),
    ],
)
def test_both_are_compared_where_data_is_small_or_coloured(
    number: int, channels: int, changes: dict[str, object], expected: list[str]
) -> None:
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (number, channels, 28, 28))
    train = Creatives(pixels, np.zeros(number, np.int64))
    assert list_backbones(train, PARAMS.model_copy(update=changes)) == expected
