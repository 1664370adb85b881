"""
The picture generator and its discriminator: the DCGAN family, conditioned on category and attributes.

The generator uses conditional batch normalisation, the discriminator projection under spectral normalisation (Miyato &
Koyama 2018, Miyato et al. 2018). An auxiliary classifier (Odena et al. 2017) helps, because projection learns the
categories too slowly.
"""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.utils.flop_counter import FlopCounterMode

SMALLEST, FINE = 8, 64  # the generator's first and the discriminator's last edge; half of it from FINE pixels on
WIDEST, CHANNELS = 4, 128  # no resolution has more channels than both WIDEST times the width and CHANNELS
SLOPE = 0.2


class Generator(nn.Module):
    """Maps z (batch, latent) and condition (batch, columns) to pictures (batch, channels, size, size) in [-1, 1]."""

    def __init__(self, channels: int, size: int, columns: int, width: int, latent: int) -> None:
        super().__init__()
        widths = _channel_widths(size, width)[::-1]
        self.edge = size // 2 ** (len(widths) - 1)
        self.begin = nn.Linear(latent, widths[0] * self.edge**2, bias=False)
        self.norms = nn.ModuleList([ConditionalNorm(wide, columns) for wide in widths])
        self.ups = nn.ModuleList([Upsample(a, b) for a, b in pairwise(widths)])
        self.end = nn.Conv2d(widths[-1], channels, 3, 1, 1)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Generate one picture per row."""
        x = self.begin(z).unflatten(1, (-1, self.edge, self.edge))
        x = self.norms[0](x, condition).relu_()
        for up, norm in zip(self.ups, list(self.norms)[1:], strict=True):
            x = norm(up(x), condition).relu_()
        picture: torch.Tensor = self.end(x).float().tanh()
        return picture


class Upsample(nn.ConvTranspose2d):
    """
    Doubles the size: nearest-neighbour resizing, then a 3x3 convolution, so no checkerboard (Odena et al. 2016).

    Both are computed as one transposed convolution, which takes less than half the time.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 4, 2, 1, bias=False)
        parametrize.register_parametrization(self, "weight", ResizeKernel(), unsafe=True)  # changes the shape

    def fold(self) -> None:
        """Keep the kernel of the transposed convolution alone, as ONNX needs it."""
        parametrize.remove_parametrizations(self, "weight", leave_parametrized=True)


class ResizeKernel(nn.Module):
    """Maps kernels (before, after, 3, 3) to (before, after, 4, 4): their sum over the four pixels of a resized one."""

    def forward(self, kernel: torch.Tensor) -> torch.Tensor:
        """Return the kernel of the transposed convolution."""
        wide = functional.pad(kernel, (1, 1, 1, 1))
        return wide[..., :-1, :-1] + wide[..., 1:, :-1] + wide[..., :-1, 1:] + wide[..., 1:, 1:]

    def right_inverse(self, kernel: torch.Tensor) -> torch.Tensor:
        """Return a 3x3 kernel to begin with."""
        return nn.init.kaiming_uniform_(kernel[..., :3, :3].clone(), math.sqrt(5), "fan_out")


class ConditionalNorm(nn.Module):
    """Batch normalisation with a gain and a bias per condition; a mix of categories gets the mix of theirs."""

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain = nn.Linear(columns, width, bias=False)  # minus 1
        self.bias = nn.Linear(columns, width, bias=False)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        gain, bias = 1 + self.gain(condition)[..., None, None], self.bias(condition)[..., None, None]
        conditioned: torch.Tensor = self.norm(x) * gain + bias
        return conditioned


class Discriminator(nn.Module):
    """Scores pictures of conditions (batch, columns), above 0 for real ones, and classifies them."""

    def __init__(self, channels: int, size: int, columns: int, width: int, *, normalize: bool = True) -> None:
        """With `normalize`, all weights that score have a spectral norm of 1."""
        super().__init__()
        spectral_norm = parametrizations.spectral_norm if normalize else _keep_weights
        widths = _channel_widths(size, width)
        layers: list[nn.Module] = []
        for before, after in pairwise([channels, *widths[:-1]]):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [
            spectral_norm(nn.Conv2d(widths[-2], widths[-1], 3, 1, 1)),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Flatten(),
        ]
        edge, features = size // 2 ** (len(widths) - 1), 2 * widths[-1]
        layers += [spectral_norm(nn.Linear(widths[-1] * edge**2, features)), nn.LeakyReLU(SLOPE, inplace=True)]
        self.body = nn.Sequential(*layers)
        self.score = spectral_norm(nn.Linear(features, 1))
        project = nn.Linear(columns, features, bias=False)
        nn.init.normal_(project.weight, std=1 / math.sqrt(features))
        self.project = spectral_norm(project)
        self.classify = nn.Linear(features, columns)

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (batch,) and a logit per column of the condition (batch, columns)."""
        features = self.body(picture).float()
        with torch.autocast(picture.device.type, enabled=False):  # a score needs more than bfloat16's 8 bits
            score: torch.Tensor = self.score(features)[:, 0] + (features * self.project(condition)).sum(1)
            logits: torch.Tensor = self.classify(features)
        return score, logits


def count_operations(channels: int, size: int, columns: int, width: int, latent: int) -> int:
    """Return the floating-point operations of a training step per picture of the batch."""
    generator = Generator(channels, size, columns, width, latent).eval()
    discriminator = Discriminator(channels, size, columns, width).eval()
    condition = torch.zeros(1, columns)
    with torch.no_grad(), FlopCounterMode(display=False) as drawing:
        picture = generator(torch.zeros(1, latent), condition)
    with torch.no_grad(), FlopCounterMode(display=False) as scoring:
        discriminator(picture, condition)
    return int(3 * drawing.get_total_flops() + 8 * scoring.get_total_flops())  # backwards costs two forwards


def _keep_weights(module: nn.Module) -> nn.Module:
    return module


def _channel_widths(size: int, width: int) -> list[int]:
    """Return the channels at each resolution, from full size downwards."""
    smallest = SMALLEST if size < FINE else SMALLEST // 2
    halvings = max(1, math.ceil(math.log2(size / smallest)))
    return [min(width * 2**halving, max(width * WIDEST, CHANNELS)) for halving in range(halvings + 1)]
