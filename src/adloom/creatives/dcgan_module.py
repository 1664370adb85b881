"""Training of the tutorials' DCGAN."""

import torch

from adloom.creatives.gan_module import GanModule

BETAS = (0.5, 0.999)


class DcganModule(GanModule):
    """Both networks learn at one constant rate (Radford et al. 2016)."""

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the two optimizers, the discriminator's first."""
        rate = self.params.learning_rate
        return [torch.optim.Adam(net.parameters(), rate, BETAS) for net in (self.discriminator, self.generator)]
