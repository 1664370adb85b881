"""
Style transfer by optimisation of the pixels (Gatys et al. 2016), from coarse to fine.

The picture shifts by some pixels in each step, so that the strides of the network leave no checkerboard, and is a
sum of levels of different sizes, so that strokes come before grain.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from adloom.creatives.style_losses_net import StyleFeatures, compute_grams, content_loss, style_loss
from adloom.creatives.stylizer_net import match_colours

SCALES = (4, 2, 1)  # parts of the edge, with equal steps
SMALLEST = 48  # pixels of the longest edge: a coarser scale shows nothing
SHIFTS, MARGIN = 8, 8  # different shifts, each below the margin in pixels
NARROWEST = 32  # pixels that the network needs
CONTENT_WEIGHT, SMOOTHNESS = 0.3, 0.02
LEVELS = 4  # of a picture, each half as wide as the one before, in steps twice as large
LEARNING_RATE, LAST_RATE = 0.01, 0.1  # of Adam; the second is a share of the first


def transfer_style(
    content: torch.Tensor,
    style: torch.Tensor,
    features: StyleFeatures,
    *,
    strength: float,
    steps: int,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> torch.Tensor:
    """
    Return the content (1, 3, height, width) in [-1, 1] in the style, a function of the arguments and the seed.

    `strength` 0 returns the content, 1 the whole style. `advance` is called after each of `steps` steps.
    """
    if not strength:
        return content
    generator = torch.Generator().manual_seed(seed)
    longest = max(content.shape[2:])
    scales = [scale for scale in SCALES if scale == 1 or longest // scale >= SMALLEST]
    picture = content + strength * (match_colours(content, style) - content)
    for number, scale in enumerate(scales):
        target, model = (_resize(whole, longest / scale) for whole in (content, style))
        start = functional.interpolate(picture, target.shape[2:], mode="bicubic", antialias=True).clamp(-1, 1)
        share = steps * (number + 1) // len(scales) - steps * number // len(scales)
        problem = _Problem(target, model, features, strength, generator)
        picture = _minimise(problem, start, share, advance)
    return picture


class _Problem:
    """The loss of a picture at one scale."""

    def __init__(
        self,
        content: torch.Tensor,
        style: torch.Tensor,
        features: StyleFeatures,
        strength: float,
        generator: torch.Generator,
    ) -> None:
        self._features, self._weight, self._generator = features, CONTENT_WEIGHT / strength, generator
        self._shifts = torch.randint(0, MARGIN, (SHIFTS, 2), generator=generator).tolist()
        with torch.no_grad():
            self._grams = compute_grams(features.compute(_shift(style, [0, 0])))
            self._contents = [features.compute(_shift(content, shift))[features.content] for shift in self._shifts]

    def loss(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the loss of a picture at one of the shifts."""
        number = int(torch.randint(SHIFTS, (), generator=self._generator))
        layers = self._features.compute(_shift(picture, self._shifts[number]))
        content = content_loss(layers[self._features.content], self._contents[number])
        return (
            style_loss(layers, self._grams) + self._weight * content + SMOOTHNESS * measure_variation(picture)
        ).sum()


def measure_variation(picture: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of neighbouring pixels (batch,)."""
    differences = (picture[:, :, 1:] - picture[:, :, :-1], picture[:, :, :, 1:] - picture[:, :, :, :-1])
    return torch.stack([d.square().flatten(1).sum(1) for d in differences]).sum(0) / picture[0].numel()


def _minimise(problem: _Problem, start: torch.Tensor, steps: int, advance: Callable[[], object]) -> torch.Tensor:
    levels = _create_levels(start)
    optimizer = torch.optim.Adam(levels, LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - (1 - LAST_RATE) * step / steps)
        optimizer.zero_grad()
        problem.loss(_add_levels(start, levels)).backward()  # type: ignore[no-untyped-call] # torch's stub lacks it
        optimizer.step()
        advance()
    return _add_levels(start, levels).detach()


def _create_levels(start: torch.Tensor) -> list[torch.Tensor]:
    """Return the changes of a picture at each size, all 0."""
    height, width = start.shape[2:]
    sizes = [(-(-height // 2**number), -(-width // 2**number)) for number in range(LEVELS)]
    return [start.new_zeros((1, 3, *size), requires_grad=True) for size in sizes]


def _add_levels(start: torch.Tensor, levels: list[torch.Tensor]) -> torch.Tensor:
    size = start.shape[2:]
    changes = [2**number * functional.interpolate(level, size, mode="bilinear") for number, level in enumerate(levels)]
    return (start + torch.stack(changes).sum(0)).clamp(-1, 1)


def _resize(picture: torch.Tensor, longest: float) -> torch.Tensor:
    height, width = picture.shape[2:]
    scale = longest / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return functional.interpolate(picture, size, mode="bicubic", antialias=True).clamp(-1, 1)


def _shift(picture: torch.Tensor, shift: list[int]) -> torch.Tensor:
    """Return the picture with repeated edges, moved down and right, and wide enough for the network's strides."""
    (down, right), (height, width) = shift, picture.shape[2:]
    below, after = max(MARGIN, NARROWEST - height), max(MARGIN, NARROWEST - width)
    return functional.pad(picture, (right, after - right, down, below - down), mode="replicate")
