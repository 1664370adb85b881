"""Training of the picture generator."""

import copy

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from adloom.config.params import TrainGan
from adloom.creatives.batches import Batch
from adloom.creatives.gan_net import Discriminator, Generator

BETAS = (0.5, 0.99)
STATISTICS_BATCHES = 64  # batches that the averaged generator's statistics come from


class GanModule(pl.LightningModule):
    """
    Hinge loss (Lim & Ye 2017), one step of each network per batch; the generator's averaged weights are the model.

    The auxiliary classifier learns from real pictures only. Lightning counts the steps of both optimizers, `steps` the
    generator's.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, params: TrainGan) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.params = generator, discriminator, params
        self.average = copy.deepcopy(generator).requires_grad_(requires_grad=False)
        self.steps: torch.Tensor
        self.register_buffer("steps", torch.tensor(0))
        self._layout = torch.channels_last if params.channels_last else torch.contiguous_format
        self.to(memory_format=self._layout)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the two optimizers, the discriminator's first."""
        rate = self.params.learning_rate
        return [
            torch.optim.Adam(self.discriminator.parameters(), rate, BETAS),
            torch.optim.Adam(self.generator.parameters(), rate / 2, BETAS),
        ]

    def training_step(self, batch: Batch, _: int) -> None:
        """Train the discriminator, then the generator, on one batch."""
        picture, category = batch
        picture = picture.contiguous(memory_format=self._layout)
        generated = self.generator(torch.randn(len(picture), self.params.latent, device=self.device), category)
        losses = {
            "discriminator_loss": self._train_discriminator(picture, generated.detach(), category),
            "generator_loss": self._train_generator(generated, category),
        }
        self.steps += 1
        self._update_average()
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(picture), sync_dist=True)

    def _train_discriminator(
        self, picture: torch.Tensor, generated: torch.Tensor, category: torch.Tensor
    ) -> torch.Tensor:
        scores, logits = self.discriminator(torch.cat([picture, generated]), torch.cat([category, category]))
        real, fake = scores.chunk(2)
        loss = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
        self._step_optimizer(0, loss + functional.cross_entropy(logits[: len(picture)], category))
        return loss.detach()

    def _train_generator(self, generated: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
        self.discriminator.requires_grad_(requires_grad=False)
        scores, logits = self.discriminator(generated, category)
        loss: torch.Tensor = -scores.mean()
        self._step_optimizer(1, loss + self.params.category_weight * functional.cross_entropy(logits, category))
        self.discriminator.requires_grad_(requires_grad=True)
        return loss.detach()

    def _step_optimizer(self, which: int, loss: torch.Tensor) -> None:
        optimizer = self.optimizers()[which]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _update_average(self) -> None:
        """Move the averaged weights towards the generator's, faster in the first steps."""
        steps = float(self.steps)
        weight = 1 - min(self.params.ema_decay, steps / (steps + 10))
        with torch.no_grad():
            for mean, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(current, weight)


def standing_statistics(module: GanModule, categories: int) -> Generator:
    """
    Return the averaged generator with its own batch statistics, over equally many pictures of each category (Brock et
    al. 2019).
    """
    average, params = module.average, module.params
    noise = torch.Generator().manual_seed(params.seed)
    for norm in average.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over batches
    average.train()
    with torch.no_grad():
        for number in range(STATISTICS_BATCHES):
            rows = torch.arange(number * params.batch_size, (number + 1) * params.batch_size)
            average(torch.randn(len(rows), params.latent, generator=noise), rows % categories)
    return average.eval()
