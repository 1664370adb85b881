"""Training of the generator: the average and its statistics."""

import torch

from adloom.config.params import TrainGan
from adloom.creatives import gan_module
from adloom.creatives.gan_module import GanModule
from adloom.creatives.gan_net import Discriminator, Generator

GAN = TrainGan(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.01, width=4, latent=5)


def test_the_average_follows_the_generator_and_has_standing_statistics() -> None:
    torch.manual_seed(0)
    module = GanModule(Generator(1, 28, 2, 4, 5), Discriminator(1, 28, 2, 4), GAN)
    before = module.average.begin.weight.clone()
    with torch.no_grad():
        module.generator.begin.weight.add_(1)
    module.steps += 1
    module._update_average()  # the first step's decay is 1 / 11
    assert torch.allclose(module.average.begin.weight, before + 10 / 11, atol=1e-5)
    generator = gan_module.standing_statistics(module, 2)
    first = gan_module.standing_statistics(module, 2).norms[0].norm.running_mean.clone()  # type: ignore[union-attr,operator]
    assert torch.equal(first, generator.norms[0].norm.running_mean)  # type: ignore[union-attr,arg-type]
    assert not generator.training
