"""Training of the sequence model: next-token cross entropy, judged in bits per character."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional

from adloom.config.training import SequenceTraining
from adloom.sequences.batches import Batch
from adloom.sequences.net import SequenceLstm

PREFIX_DROPOUT = 0.1  # share of sequences trained without their prefix, so that it is optional in requests
CLIP = 1.0  # norm of the gradient


class SequenceModule(pl.LightningModule):
    """The net with its training objective."""

    def __init__(self, vocabulary: int, begin: int, params: SequenceTraining, parts: Tensor | None = None) -> None:
        super().__init__()
        self.net = SequenceLstm(vocabulary, params.hidden, params.layers, params.dropout, parts)
        self._begin, self._params = begin, params

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean nats per token, some sequences without their prefix."""
        nats = self._nats(batch._replace(token=drop_prefixes(batch.token, self._begin)))
        self._log("loss", nats.sum(), batch)
        return nats.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the bits per character."""
        self._log("validation_loss", self._nats(batch).sum(), batch)

    def configure_optimizers(self) -> Any:
        """Return AdamW under one cycle of the learning rate (Smith & Topin 2018)."""
        p = self._params
        optimizer = torch.optim.AdamW(self.parameters(), p.learning_rate, weight_decay=p.weight_decay)
        steps = p.epochs * p.steps_per_epoch
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, p.learning_rate, total_steps=steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Limit the norm of the gradient to CLIP."""
        torch.nn.utils.clip_grad_norm_(self.parameters(), CLIP)

    def _nats(self, batch: Batch) -> Tensor:
        """Return the nats of every token that is not padding: (tokens,)."""
        features = self.net.features(batch.token, batch.real.sum(dim=1).cpu())
        return functional.cross_entropy(
            self.net.logits(features[batch.real]), batch.target[batch.real], reduction="none"
        )

    def _log(self, name: str, nats: Tensor, batch: Batch) -> None:
        """Log nats as bits per character; with the weights an epoch's mean is exact."""
        bits = nats.detach().float() / math.log(2) / batch.characters
        self.log(name, bits, on_step=False, on_epoch=True, batch_size=int(batch.characters), sync_dist=True)


def drop_prefixes(token: Tensor, begin: int) -> Tensor:
    """Return token (batch, sequence) with `begin` as the prefix of random rows."""
    dropped = token.clone()
    dropped[torch.rand(len(token)) < PREFIX_DROPOUT, 0] = begin
    return dropped
