"""The generator and the discriminator: every size and colour."""

import pytest
import torch

from adloom.creatives.gan_net import Discriminator, Generator

SHAPES = [(28, 1), (32, 3), (64, 3), (128, 1)]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
@pytest.mark.parametrize("categories", [1, 3])
def test_a_discriminator_scores_generated_pictures(size: int, channels: int, categories: int) -> None:
    generator = Generator(channels, size, categories, width=4, latent=5)
    category = torch.arange(3) % categories
    picture = generator(torch.randn(3, 5), category)
    assert picture.shape == (3, channels, size, size)
    assert picture.abs().max() <= 1
    score, logits = Discriminator(channels, size, categories, width=4)(picture, category)
    assert (score.shape, logits.shape) == ((3,), (3, categories))


def test_a_generator_obeys_the_category() -> None:
    generator = Generator(1, 28, 2, width=4, latent=5).eval()
    torch.nn.init.constant_(generator.norms[-1].bias.weight[1].data, 5.0)  # type: ignore[union-attr,index]
    first, second = generator(torch.zeros(2, 5), torch.tensor([0, 1]))
    assert not torch.equal(first, second)
