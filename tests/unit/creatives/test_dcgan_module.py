"""Training of the tutorials' DCGAN: one rate for both networks."""

from tests.unit.creatives.test_gan_module import GAN

from adloom.creatives.dcgan_module import DcganModule
from adloom.creatives.dcgan_net import DcganDiscriminator, DcganGenerator


def test_both_networks_learn_at_one_rate() -> None:
    module = DcganModule(DcganGenerator(1, 28, 2, 4, 5), DcganDiscriminator(1, 28, 2, 4), [2], GAN)
    optimizers = module.configure_optimizers()
    assert [group["lr"] for optimizer in optimizers for group in optimizer.param_groups] == [GAN.learning_rate] * 2
