"""Training of the picture reader."""

import math
from collections.abc import Iterable

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from adloom.arrays import Int64Array
from adloom.config.params import TrainCnn
from adloom.creatives.batches import Batch
from adloom.creatives.cnn_net import Reader
from adloom.creatives.condition_loss import classification_loss

SHIFT = 1  # largest random shift in pixels, in each direction


class ReaderModule(pl.LightningModule):
    """
    AdamW under a one-cycle schedule (Smith & Topin 2018), label smoothing, shifted pictures.

    Rare categories count as much as frequent ones: the logarithm of each one's frequency is added to its logits in
    training (Menon et al. 2021). With an empty body it reads features instead of pictures, which are not shifted.
    """

    def __init__(self, net: Reader, params: TrainCnn, counts: Int64Array) -> None:
        """Wrap a network; `counts` are the training pictures of each category."""
        super().__init__()
        self.net, self._params = net, params
        self._shifts = not isinstance(net.body, nn.Identity)
        self.register_buffer("prior", torch.from_numpy(np.log(counts / counts.sum())).float(), persistent=False)
        self._layout = torch.channels_last if params.channels_last else torch.contiguous_format
        self.net.to(memory_format=self._layout)  # type: ignore[call-overload] # torch's stub lacks it

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of one batch."""
        picture, category, *attributes = batch
        picture = shift_randomly(picture) if self._shifts else picture
        logits, embedding = self.net(picture.contiguous(memory_format=self._layout))
        smoothing = self._params.label_smoothing
        loss = functional.cross_entropy(logits + self.prior, category, label_smoothing=smoothing)
        for condition in attributes:
            logits_of_values = self.net.read_attributes(embedding)
            loss = loss + classification_loss(logits_of_values, condition, self.net.attribute_sizes)
        self._log("", loss, logits, category)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the metrics of one batch."""
        picture, category = batch[:2]
        logits, _embedding = self.net(picture.contiguous(memory_format=self._layout))
        self._log("validation_", functional.cross_entropy(logits, category), logits, category)

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimizer and its schedule. Scales, biases and norms do not decay."""
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        others = {"params": [p for p in self.net.parameters() if p.ndim <= 1], "weight_decay": 0.0}
        groups = [{"params": matrices, "weight_decay": self._params.weight_decay}, others]
        optimizer = torch.optim.AdamW(groups, lr=self._params.learning_rate)
        steps = self._params.epochs * self._params.steps_per_epoch
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self._params.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def _log(self, prefix: str, loss: torch.Tensor, logits: torch.Tensor, category: torch.Tensor) -> None:
        accuracy = (logits.argmax(1) == category).float().mean()
        values = {f"{prefix}loss": loss, f"{prefix}accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(category), sync_dist=True)


def shift_randomly(picture: torch.Tensor) -> torch.Tensor:
    """Shift each picture by up to SHIFT pixels, repeating its edge."""
    batch, _, height, width = picture.shape
    row, column = torch.randint(0, 2 * SHIFT + 1, (2, batch), device=picture.device)
    windows = functional.pad(picture, [SHIFT] * 4, "replicate").unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(batch, device=picture.device), :, row, column]


def calibrate(net: Reader, batches: Iterable[Batch]) -> float:
    """
    Divide the logits by the temperature that fits held-out batches best (Guo et al. 2017), and return their loss.

    Without batches the temperature stays 1 and the loss is 0.
    """
    with torch.no_grad():
        pairs = [(net(picture)[0].double(), category) for picture, category, *_ in batches]
    if not pairs:
        return 0.0
    logits, categories = (torch.cat(parts) for parts in zip(*pairs, strict=True))

    def loss(logarithm: float) -> float:
        return float(functional.cross_entropy(logits * math.exp(-logarithm), categories))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    net.scale.data /= math.exp(best.x)
    return float(best.fun)
