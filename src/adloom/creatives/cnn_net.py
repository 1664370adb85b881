"""
The picture reader: a small residual ConvNet with category logits and a unit-length embedding.

The logits are the embedding's cosines with a learned prototype per category, times a scale (Wang et al. 2017,
"NormFace"). So pictures of one category are near each other.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

SMALLEST = 8  # the resolution is halved until the edge is at most this
WIDEST = 4  # times the width of the first stage
ATTRIBUTE_SCALE = 10.0  # of the unit-length embedding that the attributes are read from


class Reader(nn.Module):
    """Maps pictures (batch, channels, height, width) in [-1, 1] to logits and embeddings."""

    def __init__(
        self, channels: int, size: int, categories: int, width: int, embedding: int, attributes: Sequence[int] = ()
    ) -> None:
        """Build a reader; `attributes` are the numbers of values of each attribute."""
        super().__init__()
        self.body = nn.Sequential(*_build_stages(channels, size, width))
        features = min(width * 2 ** _count_halvings(size), width * WIDEST)
        self.project = nn.Linear(features, embedding)
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(categories, embedding)))
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.attribute_sizes = list(attributes)
        self.attributes = nn.Linear(embedding, sum(attributes)) if attributes else None

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (batch, categories) and embeddings (batch, dimensions) of unit length."""
        features = self.body(picture)
        with torch.autocast(picture.device.type, enabled=False):  # cosines need more than the 8 bits of bfloat16
            embedding = functional.normalize(self.project(features.float().mean((2, 3))))
            cosines = embedding @ functional.normalize(self.prototypes).T
        return self.scale * cosines, embedding

    def read_attributes(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the logits of all values of all attributes (batch, values)."""
        if self.attributes is None:
            return embedding[:, :0]
        logits: torch.Tensor = self.attributes(ATTRIBUTE_SCALE * embedding)
        return logits


class Probabilities(nn.Module):
    """The exported reader: probabilities (batch, categories), embeddings, and probabilities of attribute values."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return probabilities and embeddings, then the attributes' (batch, values) if it has any."""
        logits, embedding = self.reader(picture)
        if not self.reader.attribute_sizes:
            return logits.softmax(1), embedding
        groups = torch.split(self.reader.read_attributes(embedding), self.reader.attribute_sizes, 1)
        return logits.softmax(1), embedding, torch.cat([group.softmax(1) for group in groups], 1)


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(*_build_convolution(width, width), *_build_convolution(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        output: torch.Tensor = x + self.inside(x)
        return output


def _build_stages(channels: int, size: int, width: int) -> list[nn.Module]:
    layers = _build_convolution(channels, width)
    current = width
    for _ in range(_count_halvings(size)):
        wider = min(2 * current, WIDEST * width)
        layers += [*_build_convolution(current, wider, stride=2), Residual(wider)]
        current = wider
    return layers


def _build_convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def _count_halvings(size: int) -> int:
    return max(1, math.ceil(math.log2(size / SMALLEST)))
