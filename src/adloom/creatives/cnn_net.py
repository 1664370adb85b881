"""
The picture reader: a ConvNet, small or pretrained, with category logits and a unit-length embedding.

The logits are the embedding's cosines with a learned prototype per category, times a scale (Wang et al. 2017,
"NormFace"). So pictures of one category are near each other.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from adloom.creatives.efficientnet import EfficientNetLite0, to_input

LARGEST = 32  # larger pictures are halved by the first layers, so that every size costs about as much
STAGES = 2  # each halves the resolution and doubles the width
ATTRIBUTE_SCALE = 10.0  # of the unit-length embedding that the attributes are read from


class Body(nn.Sequential):
    """A residual ConvNet: pictures (batch, channels, size, size) to features (batch, features, height, width)."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__(*_build_layers(channels, size, width))
        self.features = width * 2**STAGES


class PretrainedBody(nn.Module):
    """EfficientNet-Lite0 on pictures of any size."""

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the features (batch, features, height, width)."""
        features: torch.Tensor = self.net.compute_map(to_input(picture))
        return features


class Reader(nn.Module):
    """Maps pictures (batch, channels, height, width) in [-1, 1] to logits and embeddings."""

    def __init__(
        self, body: nn.Module, features: int, categories: int, embedding: int, attributes: Sequence[int] = ()
    ) -> None:
        """Build a reader; `attributes` are the numbers of values of each attribute."""
        super().__init__()
        self.body = body
        self.project = nn.Linear(features, embedding)
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(categories, embedding)))
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.attribute_sizes = list(attributes)
        self.attributes = nn.Linear(embedding, sum(attributes)) if attributes else None

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (batch, categories) and embeddings (batch, dimensions) of unit length."""
        return self.read_features(self.body(picture))

    def read_features(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits and embeddings of the body's features."""
        with torch.autocast(features.device.type, enabled=False):  # cosines need more than the 8 bits of bfloat16
            embedding = functional.normalize(self.project(features.float().mean((2, 3))))
            cosines = embedding @ functional.normalize(self.prototypes).T
        return self.scale * cosines, embedding

    def locate_evidence(self, features: torch.Tensor) -> torch.Tensor:
        """
        Return the share of each place in each category's cosine, (batch, categories, height, width).

        Their mean over all places, plus a number per picture and category, is the cosine: class activation maps (Zhou
        et al. 2016) are exact behind a global average.
        """
        length = self.project(features.mean((2, 3))).norm(dim=1)[:, None, None, None]
        weights = functional.normalize(self.prototypes) @ self.project.weight
        evidence: torch.Tensor = functional.conv2d(features, weights[:, :, None, None]) / length
        return evidence

    def read_attributes(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the logits of all values of all attributes (batch, values)."""
        if self.attributes is None:
            return embedding[:, :0]
        logits: torch.Tensor = self.attributes(ATTRIBUTE_SCALE * embedding)
        return logits


class Probabilities(nn.Module):
    """The exported reader: probabilities, embeddings, evidence by place, and probabilities of attribute values."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return probabilities, embeddings and evidence, then the attributes' (batch, values) if it has any."""
        features = self.reader.body(picture)
        logits, embedding = self.reader.read_features(features)
        outputs = logits.softmax(1), embedding, self.reader.locate_evidence(features)
        if not self.reader.attribute_sizes:
            return outputs
        groups = torch.split(self.reader.read_attributes(embedding), self.reader.attribute_sizes, 1)
        return *outputs, torch.cat([group.softmax(1) for group in groups], 1)


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(*_build_convolution(width, width), *_build_convolution(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        output: torch.Tensor = x + self.inside(x)
        return output


def _build_layers(channels: int, size: int, width: int) -> list[nn.Module]:
    halvings = max(0, math.ceil(math.log2(size / LARGEST)))
    layers, current = [], channels
    for _ in range(max(1, halvings)):
        layers += _build_convolution(current, width, stride=2 if halvings else 1)
        current = width
    for _ in range(STAGES):
        layers += [*_build_convolution(current, 2 * current, stride=2), Residual(2 * current)]
        current *= 2
    return layers


def _build_convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
