"""The reader's layers, read from its ONNX file, are those of the trained net."""

from pathlib import Path

import pytest
import torch
from tests.support.random_readers import export_reader

from adloom.creatives.cnn_net import Body, PretrainedBody
from adloom.creatives.efficientnet import EfficientNetLite0
from adloom.creatives.reader_features_net import load_reader_features
from adloom.errors import ArtifactError


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (64, 3), (128, 1)])
def test_the_layers_are_those_of_the_net(size: int, channels: int, tmp_path: Path) -> None:
    body = Body(channels, size, width=4)
    export_reader(body, (channels, size, size), tmp_path / "reader.onnx")
    features = load_reader_features(tmp_path / "reader.onnx")
    grey = torch.rand(2, 1, 40, 56) * 2 - 1
    layers = features.compute(grey.expand(-1, 3, -1, -1))
    with torch.no_grad():
        torch.testing.assert_close(layers[-1], body.eval()(grey.expand(-1, channels, -1, -1)))
    assert [layer.shape[1] for layer in layers[features.content :]] == [8, 16, 16]


def test_colours_are_read_by_their_luma(tmp_path: Path) -> None:
    export_reader(Body(1, 28, width=4), (1, 28, 28), tmp_path / "reader.onnx")
    features = load_reader_features(tmp_path / "reader.onnx")
    green = torch.tensor([-1.0, 1.0, -1.0])[None, :, None, None].expand(1, 3, 32, 32)
    shade = torch.full((1, 3, 32, 32), 0.587 - 0.299 - 0.114)
    torch.testing.assert_close(features.compute(green), features.compute(shade))


def test_the_gradient_reaches_the_picture(tmp_path: Path) -> None:
    export_reader(Body(1, 28, width=4), (1, 28, 28), tmp_path / "reader.onnx")
    picture = torch.zeros(1, 3, 32, 32, requires_grad=True)
    layers = load_reader_features(tmp_path / "reader.onnx").compute(picture)
    (gradient,) = torch.autograd.grad([layer.sum() for layer in layers], picture)
    assert gradient.abs().sum() > 0


def test_a_pretrained_reader_is_refused_by_name(tmp_path: Path) -> None:
    export_reader(PretrainedBody(EfficientNetLite0()), (1, 28, 28), tmp_path / "reader.onnx")
    with pytest.raises(ArtifactError, match="expected a reader with train_cnn.backbone: scratch"):
        load_reader_features(tmp_path / "reader.onnx")
