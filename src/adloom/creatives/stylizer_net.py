"""
The stylizer: one pass gives a content the colours and strokes of any style.

The features of content and style meet in adaptive instance normalisation (Huang & Belongie 2017) at three scales. The
decoder adds what it draws to the recoloured content, so that a short training already gives a sound picture.
"""

import torch
from torch import nn
from torch.nn import functional

from adloom.creatives.efficientnet import EfficientNetLite0, run_blocks

BLOCKS = {0: 16, 2: 24, 4: 40}  # of EfficientNet: channels; each halves the edge
STRIDE = 8  # the edges of a content are multiples of this
EPSILON = 1e-3  # so that noise in a flat channel stays small
OPPONENTS = (  # orthonormal: brightness, red-green, yellow-blue
    (0.57735, 0.57735, 0.57735),
    (0.70711, -0.70711, 0.0),
    (0.40825, 0.40825, -0.81650),
)


class Stylizer(nn.Module):
    """Maps content, style (batch, 3, height, width) in [-1, 1] and a strength (batch,) to stylised pictures."""

    def __init__(self, encoder: EfficientNetLite0, width: int) -> None:
        super().__init__()
        self.encoder = _Encoder(encoder)
        fine, middle, coarse = BLOCKS.values()
        self.describe = nn.Sequential(nn.Linear(2 * (fine + middle + coarse), 2 * width), nn.ReLU())
        self.coarse = _Modulated(coarse, 2 * width, 2 * width)
        self.middle = _Modulated(2 * width + middle, 2 * width, 2 * width)
        self.fine = _Modulated(2 * width + fine, width, 2 * width)
        self.last = _Modulated(width + 3, width, 2 * width)
        self.draw = nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")
        nn.init.zeros_(self.draw.weight)
        nn.init.zeros_(self.draw.bias)  # type: ignore[arg-type] # torch's stub allows None

    def forward(self, content: torch.Tensor, style: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        """Return pictures of the content's size; strength 0 is the content, 1 the whole style."""
        recoloured = match_colours(content, style)
        theirs = self.encoder(style)
        statistics = [_statistics(layer) for layer in theirs]
        fine, middle, coarse = (
            _normalise(layer) * scale + mean
            for layer, (mean, scale) in zip(self.encoder(content), statistics, strict=True)
        )
        code = self.describe(torch.cat([part.flatten(1) for pair in statistics for part in pair], 1))
        x = self.coarse(coarse, code)
        x = self.middle(torch.cat([_double(x), middle], 1), code)
        x = self.fine(torch.cat([_double(x), fine], 1), code)
        x = self.last(torch.cat([_double(x), recoloured], 1), code)
        stylised = (recoloured + self.draw(x)).clamp(-1, 1)
        blended: torch.Tensor = content + strength[:, None, None, None] * (stylised - content)
        return blended


class _Encoder(nn.Module):
    """The first blocks of the pretrained network, frozen."""

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        self.stem, self.blocks = net.stem, nn.ModuleList(list(net.blocks)[: max(BLOCKS) + 1])

    def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
        outputs = run_blocks(self.stem, self.blocks, picture)
        return [outputs[block] for block in BLOCKS]


class _Modulated(nn.Module):
    """A convolution with gain and bias per channel that follow from the style."""

    def __init__(self, before: int, after: int, code: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")
        self.gain = nn.Linear(code, 2 * after)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)

    def forward(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        gain, bias = self.gain(code)[:, :, None, None].chunk(2, 1)
        return functional.relu(_normalise(self.convolution(x)) * (1 + gain) + bias)


def match_colours(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """
    Return the content with the style's mean and covariance of colours (Reinhard et al. 2001).

    A grey content gets the colour that goes with each brightness in the style.
    """
    matrix = content.new_tensor(OPPONENTS)
    ours, theirs = (torch.einsum("ij,bjhw->bihw", matrix, picture) for picture in (content, style))
    parts, factors = _decorrelate(ours)[0], _decorrelate(theirs)[1]
    channels = [
        sum(factor * part for factor, part in zip(row, parts, strict=False)) + theirs[:, i : i + 1].mean((2, 3), True)
        for i, row in enumerate(factors)
    ]
    return torch.einsum("ij,bihw->bjhw", matrix, torch.cat(channels, 1)).clamp(-1, 1)


def _decorrelate(x: torch.Tensor) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
    """Return uncorrelated parts of spread 1, and the factors of the parts in each channel (a Cholesky factor)."""
    parts: list[torch.Tensor] = []
    factors: list[list[torch.Tensor]] = []
    for i in range(x.shape[1]):
        rest = x[:, i : i + 1] - x[:, i : i + 1].mean((2, 3), keepdim=True)
        row = [(rest * part).mean((2, 3), keepdim=True) for part in parts]
        for factor, part in zip(row, parts, strict=True):
            rest = rest - factor * part
        spread = _statistics(rest)[1]
        parts.append(rest / spread)
        factors.append([*row, spread])
    return parts, factors


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation over positions, (batch, channels, 1, 1) each."""
    mean = x.mean((2, 3), keepdim=True)
    return mean, ((x - mean).square().mean((2, 3), keepdim=True) + EPSILON).sqrt()


def _normalise(x: torch.Tensor) -> torch.Tensor:
    mean, scale = _statistics(x)
    return (x - mean) / scale


def _double(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
