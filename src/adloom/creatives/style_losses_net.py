"""Losses of style transfer in the features of a network (Gatys et al. 2016), relative, so that layers weigh alike."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from adloom.creatives.efficientnet import EfficientNetLite0

BLOCKS = (0, 2, 4, 7)  # of EfficientNet: colours and lines, then strokes, then shapes
CONTENT = 2  # of them: the layer that keeps the content


@dataclass(frozen=True)
class StyleFeatures:
    """The layers of a network: pictures (batch, 3, height, width) to features (batch, channels, height, width) each."""

    compute: Callable[[torch.Tensor], list[torch.Tensor]]
    content: int  # number of the layer that keeps the content


def pretrained_features(net: EfficientNetLite0) -> StyleFeatures:
    """Return the layers of EfficientNet in which losses are measured."""
    return StyleFeatures(lambda picture: [net.list_outputs(picture, BLOCKS[-1])[block] for block in BLOCKS], CONTENT)


def compute_grams(layers: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the Gram matrices (batch, channels, channels) of layers, each a mean over positions."""
    flat = [layer.flatten(2) for layer in layers]
    return [layer @ layer.transpose(1, 2) / layer.shape[2] for layer in flat]


def style_loss(layers: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
    """Return the distance of layers from the Gram matrices of a style (batch,): 0 is equal, 1 a blank picture."""
    pairs = zip(compute_grams(layers), targets, strict=True)
    return torch.stack([_relative(gram, target) for gram, target in pairs]).mean(0)


def content_loss(layer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the distance of a layer from that of the content (batch,)."""
    return _relative(layer, target)


def _relative(actual: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (actual - target).square().flatten(1).sum(1) / target.square().flatten(1).sum(1).clamp_min(1e-8)
