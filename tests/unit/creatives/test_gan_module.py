"""Training of the generator: the average and its statistics, and the attributes of its conditions."""

import torch

from adloom.config.params import TrainGan
from adloom.creatives import gan_module
from adloom.creatives.gan_module import GanModule
from adloom.creatives.gan_net import Discriminator, Generator

GAN = TrainGan(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.01, width=4, latent=5)


def test_the_average_follows_the_generator_and_has_standing_statistics() -> None:
    torch.manual_seed(0)
    module = GanModule(Generator(1, 28, 2, 4, 5), Discriminator(1, 28, 2, 4), [2], GAN)
    average, current = module.average, module.generator
    assert isinstance(average, Generator)
    assert isinstance(current, Generator)
    before = average.begin.weight.clone()
    with torch.no_grad():
        current.begin.weight.add_(1)
    module.steps += 1
    module._update_average()  # the first step's decay is 1 / 11
    assert torch.allclose(average.begin.weight, before + 10 / 11, atol=1e-5)
    generator = gan_module.standing_statistics(module, torch.eye(2))
    first = [buffer.clone() for buffer in generator.buffers()]
    again = gan_module.standing_statistics(module, torch.eye(2))
    assert all(torch.equal(*pair) for pair in zip(first, again.buffers(), strict=True))
    assert not generator.training


def test_any_number_of_attributes_is_dropped_equally_often() -> None:
    torch.manual_seed(0)
    condition = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0]]).repeat(3000, 1)  # two categories, attributes of 2 and 1
    dropped = gan_module.drop_attributes(condition, [2, 2, 1])
    assert torch.equal(dropped[:, :2], condition[:, :2])
    shares = torch.bincount(dropped[:, 2:].sum(1).long(), minlength=3) / 3000
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.03)
    assert torch.equal(gan_module.drop_attributes(condition, [5]), condition)
