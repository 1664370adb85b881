"""Optimised style transfer: the style comes closer, the content stays, and equal seeds give equal bytes."""

import pytest
import torch
from torch.nn import functional

from adloom.creatives.gram_transfer_net import measure_variation, transfer_style
from adloom.creatives.style_losses_net import (
    StyleFeatures,
    compute_grams,
    content_loss,
    style_loss,
)
from adloom.creatives.textures import draw_scenes, draw_textures


@pytest.fixture(scope="module")
def features() -> StyleFeatures:
    """Return three layers of random convolutions without biases, which differ more between pictures."""
    torch.manual_seed(1)
    layers = [torch.nn.Conv2d(before, 8, 3, stride, 1, bias=False) for before, stride in ((3, 1), (8, 2), (8, 2))]

    def compute(picture: torch.Tensor) -> list[torch.Tensor]:
        outputs = [picture]
        for layer in layers:
            outputs.append(torch.relu(layer.requires_grad_(False)(outputs[-1])))
        return outputs[1:]

    return StyleFeatures(compute, 2)


def draw(kind: str, edge: int = 48) -> torch.Tensor:
    """Return a pale content, or a style with strokes that are wider than a pixel."""
    if kind == "content":
        return (torch.from_numpy(draw_scenes(1, edge, 5)).float() / 127.5 - 1) * 0.2
    return functional.avg_pool2d(torch.from_numpy(draw_textures(1, 2 * edge, 5)).float() / 127.5 - 1, 2)


def measure_grain(picture: torch.Tensor) -> float:
    """Return the mean strength of a checkerboard in blocks of 2 x 2 pixels."""
    corners = [picture[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return float((corners[0] - corners[1] - corners[2] + corners[3]).abs().mean())


def transfer(features: StyleFeatures, strength: float = 1.0, seed: int = 1, steps: int = 30) -> torch.Tensor:
    return transfer_style(draw("content"), draw("style"), features, strength=strength, steps=steps, seed=seed)


def test_more_strength_is_nearer_to_the_style_and_farther_from_the_content(features: StyleFeatures) -> None:
    grams, content = compute_grams(features.compute(draw("style"))), features.compute(draw("content"))[2]
    layers = [features.compute(transfer(features, strength)) for strength in (0, 0.3, 1)]
    styles = [float(style_loss(one, grams)) for one in layers]
    contents = [float(content_loss(one[2], content)) for one in layers]
    assert styles == sorted(styles, reverse=True)
    assert contents == sorted(contents)
    assert styles[-1] < 0.7 * styles[0]


def test_strokes_are_painted_without_grain(features: StyleFeatures) -> None:
    assert measure_grain(transfer(features)) < 0.65 * measure_grain(draw("style"))


def test_equal_seeds_give_equal_pictures(features: StyleFeatures) -> None:
    first, again, other = (transfer(features, seed=seed, steps=4) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_step_is_counted(features: StyleFeatures, steps: int) -> None:
    counted: list[int] = []
    content, style = draw("content", 200)[:, :, :40], draw("style", 64)
    painted = transfer_style(
        content, style, features, strength=1, steps=steps, seed=1, advance=lambda: counted.append(1)
    )
    assert (len(counted), painted.shape) == (steps, content.shape)
    assert painted.abs().max() <= 1


def test_variation_is_the_mean_squared_step_between_neighbours() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert measure_variation(picture).tolist() == [(0 + 4 + 1 + 9) / 4]
