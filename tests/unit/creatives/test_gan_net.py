"""The generator and the discriminator: every size and colour, and conditions."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from adloom.creatives.gan_net import ConditionalNorm, Discriminator, Generator, Upsample

SHAPES = [(28, 1), (32, 3), (64, 3), (128, 1)]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
@pytest.mark.parametrize("columns", [1, 3])
def test_a_discriminator_scores_generated_pictures(size: int, channels: int, columns: int) -> None:
    generator = Generator(channels, size, columns, width=4, latent=5)
    condition = torch.eye(columns)[torch.arange(3) % columns]
    picture = generator(torch.randn(3, 5), condition)
    assert picture.shape == (3, channels, size, size)
    assert picture.abs().max() <= 1
    score, logits = Discriminator(channels, size, columns, width=4)(picture, condition)
    assert (score.shape, logits.shape) == ((3,), (3, columns))


def test_a_one_hot_condition_looks_up_an_embedding() -> None:
    torch.manual_seed(0)
    norm, features = ConditionalNorm(4, 3), torch.randn(6, 4, 2, 2)
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    category = torch.tensor([2, 0, 1, 1, 0, 2])
    gain, bias = 1 + norm.gain.weight.T[category], norm.bias.weight.T[category]
    expected = norm.norm(features) * gain[..., None, None] + bias[..., None, None]
    assert torch.allclose(norm(features, functional.one_hot(category, 3).float()), expected, atol=1e-6)


def test_a_mix_of_categories_interpolates_their_embeddings() -> None:
    torch.manual_seed(0)
    norm, features = ConditionalNorm(4, 2).eval(), torch.randn(1, 4, 2, 2)
    nn.init.normal_(norm.gain.weight)
    first, second, mix = (norm(features, torch.tensor([row])) for row in ([1.0, 0.0], [0.0, 1.0], [0.5, 0.5]))
    assert torch.allclose(mix, (first + second) / 2, atol=1e-6)


def test_an_upsampling_is_a_resize_and_a_convolution() -> None:
    torch.manual_seed(0)
    upsample, features = Upsample(3, 2), torch.randn(2, 3, 5, 4)
    resized = functional.interpolate(features, scale_factor=2)
    kernel = upsample.parametrizations.weight.original.transpose(0, 1).flip(2, 3)  # type: ignore[union-attr,operator]
    expected = functional.conv2d(resized, kernel, padding=1)
    assert torch.allclose(upsample(features), expected, atol=1e-5)
    upsample.fold()
    assert torch.allclose(upsample(features), expected, atol=1e-5)


def test_an_upsampling_draws_no_checkerboard_on_a_constant() -> None:
    torch.manual_seed(0)
    inside = Upsample(3, 2)(torch.ones(1, 3, 6, 6))[..., 1:-1, 1:-1]
    assert torch.allclose(inside, inside[..., :1, :1].expand_as(inside), atol=1e-6)
