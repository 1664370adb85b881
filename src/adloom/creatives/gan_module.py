"""Training of the picture generator."""

import copy
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from adloom.config.params import TrainGan
from adloom.creatives.augmentation import translate
from adloom.creatives.batches import Batch
from adloom.creatives.condition_loss import classification_loss
from adloom.creatives.gan_loss import discriminator_loss, generator_loss, gradient_penalty
from adloom.creatives.gan_progress import CollapseDetector, draw_by_batch_statistics, measure_kernel_distance

BETAS = (0.5, 0.99)
STATISTICS_BATCHES = 64  # batches that the averaged generator's statistics come from
PENALTY_INTERVAL = 8  # steps; the gradient penalty is computed in one of them, times as much
CODE_NOISE = 0.1  # standard deviation around the codes of pictures
RECONSTRUCTION_WEIGHT = 80.0  # of the mean absolute difference from the pictures of the codes, by squared share


class GanModule(pl.LightningModule):
    """
    One step of each network per batch; the generator's averaged weights are the model.

    The auxiliary classifier learns from real pictures only. Attributes are dropped at random, so that a request may
    leave them out. Where a batch has the codes of its pictures, a share of the generated ones starts from codes and is
    compared with these pictures. Lightning counts the steps of both optimizers, `steps` the generator's.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        sizes: Sequence[int],
        params: TrainGan,
        reference: Batch | None = None,
    ) -> None:
        """Train on conditions of these `sizes`, as of a ConditionSpace; compare with `reference` after each epoch."""
        super().__init__()
        self.sizes, self.reference = list(sizes), reference
        self.automatic_optimization = False
        self.generator, self.discriminator, self.params = generator, discriminator, params
        self.average = copy.deepcopy(generator).requires_grad_(requires_grad=False)
        self.collapse = CollapseDetector()
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

    def training_step(self, batch: Batch, _: int) -> dict[str, torch.Tensor]:
        """Train the discriminator, then the generator, on one batch; return their losses."""
        picture, condition, *codes = batch
        picture = picture.contiguous(memory_format=self._layout)
        z = torch.randn(len(picture), self.params.latent, device=self.device)
        known = picture[: round(len(picture) * (self.params.reconstruction or 0))]
        for code in codes:
            z[: len(known), : code.shape[1]] *= CODE_NOISE
            z[: len(known), : code.shape[1]] += code[: len(known)]
        condition = drop_attributes(condition, self.sizes)
        generated = self.generator(z, condition)
        loss, real = self._train_discriminator(picture, generated.detach(), condition)
        adversarial_loss = self._train_generator(generated, condition, real, known)
        losses = {"discriminator_loss": loss, "generator_loss": adversarial_loss}
        self.steps += 1
        self._update_average()
        self.collapse.update(picture, generated.detach(), condition[:, : self.sizes[0]], int(self.steps))
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(picture), sync_dist=True)
        return losses

    def on_train_epoch_end(self) -> None:
        """Log the kernel distance to the reference."""
        if self.reference:
            picture, condition = self.reference[:2]
            generated = draw_by_batch_statistics(
                self.average, condition.to(self.device), self.params.latent, self.params.batch_size
            )
            self.log("kernel_distance", measure_kernel_distance(generated.cpu(), picture))

    def _train_discriminator(
        self, picture: torch.Tensor, generated: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and the scores of the real pictures."""
        penalty, pairs = self._penalty_weight(), torch.cat([condition, condition])
        pictures = self._augment(torch.cat([picture, generated])).requires_grad_(penalty > 0)
        scores, logits = self.discriminator(pictures, pairs)
        real, fake = scores.chunk(2)
        loss = discriminator_loss(self.params.objective, real, fake)
        total = loss + classification_loss(logits[: len(picture)], condition, self.sizes)
        if penalty:  # the mean over both halves is (R1 + R2) / 2
            total = total + penalty * gradient_penalty(scores, pictures)
        self._step_optimizer(0, total)
        return loss.detach(), real.detach()

    def _train_generator(
        self, generated: torch.Tensor, condition: torch.Tensor, real: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss; the first of the generated pictures should equal the `known` ones."""
        self.discriminator.requires_grad_(requires_grad=False)
        scores, logits = self.discriminator(self._augment(generated), condition)
        loss = generator_loss(self.params.objective, real, scores)
        classification = classification_loss(logits, condition, self.sizes)
        total = loss + self.params.category_weight * classification
        if len(known):
            weight = RECONSTRUCTION_WEIGHT * (len(known) / len(generated)) ** 2
            total = total + weight * functional.l1_loss(generated[: len(known)], known)
        self._step_optimizer(1, total)
        self.discriminator.requires_grad_(requires_grad=True)
        return loss.detach()

    def _augment(self, picture: torch.Tensor) -> torch.Tensor:
        return translate(picture) if self.params.augmentation == "always" else picture

    def _penalty_weight(self) -> float:
        due = int(self.steps) % PENALTY_INTERVAL == 0
        return self.params.gradient_penalty * PENALTY_INTERVAL if due else 0.0

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


def drop_attributes(
    condition: torch.Tensor, sizes: Sequence[int], generator: torch.Generator | None = None
) -> torch.Tensor:
    """Drop attributes of conditions (rows, columns) at random: all numbers of dropped ones are equally likely."""
    if len(sizes) == 1:
        return condition
    shape, device = (len(condition), len(sizes)), condition.device
    draws = torch.rand(shape, device=device, generator=generator)
    keep = draws < torch.rand(shape[0], 1, device=device, generator=generator)
    keep[:, 0] = True  # the category
    return condition * keep.repeat_interleave(torch.tensor(sizes, device=device), 1)


def standing_statistics(module: GanModule, conditions: torch.Tensor) -> nn.Module:
    """Return the averaged generator with its own batch statistics (Brock et al. 2019) over conditions, in turn."""
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
            z = torch.randn(len(rows), params.latent, generator=noise)
            average(z, drop_attributes(conditions[rows % len(conditions)], module.sizes, noise))
    return average.eval()
