"""The DCGAN of the tutorials: its layers at 28 pixels, every size and colour, and its condition."""

import pytest
import torch
from torch import nn

from adloom.creatives.dcgan_net import DcganDiscriminator, DcganGenerator


def test_the_generator_of_the_tutorial() -> None:
    """From 100 numbers to 7 x 7 x 256, then transposed convolutions of 5 x 5 to 7, 14 and 28 pixels."""
    generator = DcganGenerator(1, 28, 10, width=64, latent=100)
    layers = [layer for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert (generator.begin.in_features, generator.begin.out_features) == (110, 7 * 7 * 256)
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(256, 128), (128, 64), (64, 1)]
    assert [layer.stride for layer in layers] == [(1, 1), (2, 2), (2, 2)]
    assert {layer.kernel_size for layer in layers} == {(5, 5)}


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (128, 1)])
def test_a_discriminator_scores_generated_pictures(size: int, channels: int) -> None:
    condition = torch.eye(3)
    picture = DcganGenerator(channels, size, 3, width=2, latent=5)(torch.randn(3, 5), condition)
    assert picture.shape == (3, channels, size, size)
    assert picture.abs().max() <= 1
    score, logits = DcganDiscriminator(channels, size, 3, width=2)(picture, condition)
    assert (score.shape, logits.shape) == ((3,), (3, 3))
    assert not logits.any()


def test_condition_changes_pictures_and_scores() -> None:
    torch.manual_seed(0)
    generator, discriminator = DcganGenerator(1, 28, 2, 4, 5).eval(), DcganDiscriminator(1, 28, 2, 4).eval()
    pictures = generator(torch.randn(1, 5).expand(2, 5), torch.eye(2))
    assert not torch.allclose(pictures[0], pictures[1])
    scores, _ = discriminator(pictures[:1].expand(2, -1, -1, -1), torch.eye(2))
    assert scores[0] != scores[1]
