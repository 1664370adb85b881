"""EfficientNet-Lite0: the network as published, written out here, and its embedding of pictures."""

import numpy as np
import pytest
import torch
from tests.support.random_efficientnet import write_weights
from torch.nn import functional

from adloom.creatives import efficientnet
from adloom.creatives.efficientnet import EfficientNetLite0, embed_pictures, embed_textures, load_efficientnet, to_input

HALVING = (1, 3, 5, 11)  # blocks with a stride of 2, as in the paper's table
SHORTCUT = (2, 4, 6, 7, 9, 10, 12, 13, 14)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> EfficientNetLite0:
    return load_efficientnet(write_weights(tmp_path_factory.mktemp("weights")))


def compute_features(weights: dict[str, torch.Tensor], picture: torch.Tensor) -> torch.Tensor:
    """Compute the published network layer by layer; the features of block eleven are last."""

    def convolve(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = weights[f"{name}.weight"]
        groups = len(weight) if weight.shape[1] == 1 else 1
        total = weight.shape[-1] - stride  # for an even edge
        padded = functional.pad(x, [total // 2, total - total // 2] * 2)
        return functional.conv2d(padded, weight, weights[f"{name}.bias"], stride, groups=groups)

    x = convolve(picture, "stem", 2).clamp(0, 6)
    for number in range(16):
        inside = convolve(x, f"blocks.{number}.expand").clamp(0, 6) if number else x
        inside = convolve(inside, f"blocks.{number}.depthwise", 2 if number in HALVING else 1).clamp(0, 6)
        projected = convolve(inside, f"blocks.{number}.project")
        x = x + projected if number in SHORTCUT else projected
        if number == 10:
            textures = x.mean((2, 3))
    return torch.cat([convolve(x, "head").clamp(0, 6).mean((2, 3)), textures], 1)


def test_the_features_are_those_of_the_published_network(net: EfficientNetLite0) -> None:
    picture = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(net(picture), compute_features(net.state_dict(), picture))


def test_every_block_can_be_read(net: EfficientNetLite0) -> None:
    outputs = net.list_outputs(torch.zeros(1, 3, 64, 64))
    channels = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320]
    edges = [32, 16, 16, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2]
    assert [output.shape[1:] for output in outputs] == [(c, e, e) for c, e in zip(channels, edges, strict=True)]
    assert len(net.list_outputs(torch.zeros(1, 3, 64, 64), last=4)) == 5


@pytest.mark.parametrize("edge", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_size_are_embedded(net: EfficientNetLite0, edge: int, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, channels, edge, edge), np.uint8)
    embedding = embed_pictures(net, [pixels[:2], pixels[2:]])
    assert embedding.shape == (3, efficientnet.FEATURES)
    np.testing.assert_allclose(embedding, embed_pictures(net, [pixels]), atol=1e-5)
    assert np.ptp(embedding, axis=0).max() > 0


def test_textures_are_the_averages_of_block_eleven(net: EfficientNetLite0) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), np.uint8)
    block = net.list_outputs(to_input(torch.from_numpy(pixels).float() / 127.5 - 1, 64))[10]
    textures = embed_textures(net, [pixels[:1], pixels[1:]])
    np.testing.assert_allclose(textures, block.mean((2, 3)) / 16, atol=1e-5)


def test_a_grey_picture_is_read_as_the_same_picture_in_rgb() -> None:
    grey = torch.linspace(-1, 1, 28 * 28).reshape(1, 1, 28, 28)
    assert to_input(grey).shape == (1, 3, efficientnet.EDGE, efficientnet.EDGE)
    torch.testing.assert_close(to_input(grey), to_input(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("shape", [(160, 160), (200, 64)])
def test_large_pictures_are_averaged_and_not_sampled(shape: tuple[int, int]) -> None:
    pictures = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    edges = efficientnet.EDGE, efficientnet.EDGE
    expected = functional.interpolate(pictures, edges, mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(to_input(pictures), expected, atol=1e-5, rtol=0)
