"""Readers with random weights, exported as the training exports them."""

from pathlib import Path

import torch
from torch import nn

from adloom.creatives.cnn_net import Probabilities, Reader
from adloom.onnx_models import export


def export_reader(body: nn.Module, shape: tuple[int, int, int], path: Path) -> None:
    """Write a body with a random head; statistics of batch norms are random, as after a training."""
    torch.manual_seed(5)
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)  # type: ignore[arg-type] # torch's stub allows None
            nn.init.uniform_(layer.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    export.export(
        Probabilities(Reader(body, _count_features(body, shape), categories=3, embedding=6)),
        lambda batch: {"picture": torch.linspace(-1, 1, batch * shape[0] * shape[1] * shape[2]).view(batch, *shape)},
        path,
        outputs=["probabilities", "embedding", "evidence"],
        dynamic={"picture": {0: "batch"}, "probabilities": {0: "batch"}, "embedding": {0: "batch"}},
        shapes=[(1,), (2,)],
    )


def _count_features(body: nn.Module, shape: tuple[int, int, int]) -> int:
    with torch.no_grad():
        return int(body.eval()(torch.zeros(1, *shape)).shape[1])
