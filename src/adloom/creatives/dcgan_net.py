"""
The DCGAN of the tutorials: transposed convolutions of 5x5, leaky rectifiers, batch norms in the generator alone.

The condition follows the noise, and the discriminator reads it as constant planes behind the picture (Mirza & Osindero
2014).
"""

import math
from itertools import pairwise

import torch
from torch import nn

SMALLEST = 8  # the generator's first and the discriminator's last edge is at most this
SLOPE = 0.3
DROPOUT = 0.3


class DcganGenerator(nn.Module):
    """Maps z (batch, latent) and condition (batch, columns) to pictures (batch, channels, size, size) in [-1, 1]."""

    def __init__(self, channels: int, size: int, columns: int, width: int, latent: int) -> None:
        super().__init__()
        widths = _channel_widths(size, width)[::-1]  # of 28: 128, 64
        self.edge = size // 2 ** len(widths)
        self.begin = nn.Linear(latent + columns, 2 * widths[0] * self.edge**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(2 * widths[0]), nn.LeakyReLU(SLOPE)]
        layers += _transposed_convolution(2 * widths[0], widths[0], stride=1)
        for before, after in pairwise(widths):
            layers += _transposed_convolution(before, after, stride=2)
        self.body = nn.Sequential(*layers)
        self.end = nn.ConvTranspose2d(widths[-1], channels, 5, 2, 2, output_padding=1, bias=False)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Generate one picture per row."""
        x = self.begin(torch.cat([z, condition], 1)).unflatten(1, (-1, self.edge, self.edge))
        picture: torch.Tensor = self.end(self.body(x)).float().tanh()
        return picture


class DcganDiscriminator(nn.Module):
    """Scores pictures (batch, channels, size, size) with conditions (batch, columns), above 0 for real."""

    def __init__(self, channels: int, size: int, columns: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = _channel_widths(size, width)
        for before, after in pairwise([channels + columns, *widths]):
            layers += [nn.Conv2d(before, after, 5, 2, 2), nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT)]
        edge = size // 2 ** len(widths)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * edge**2, 1))

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (batch,) and constant logits (batch, columns): the DCGAN has no auxiliary classifier."""
        planes = condition[:, :, None, None].expand(-1, -1, *picture.shape[2:])
        score: torch.Tensor = self.body(torch.cat([picture, planes], 1)).float()[:, 0]
        return score, torch.zeros_like(condition)


def _transposed_convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(before, after, 5, stride, 2, output_padding=stride - 1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]


def _channel_widths(size: int, width: int) -> list[int]:
    """Return the channels at each halved resolution, from the largest downwards."""
    halvings = max(1, math.ceil(math.log2(size / SMALLEST)))
    return [width * 2**halving for halving in range(halvings)]
