"""The stylizer: colours of the style, strength from nothing to all, any size."""

import pytest
import torch
from tests.support.random_efficientnet import write_weights

from adloom.creatives.efficientnet import load_efficientnet
from adloom.creatives.stylizer_net import Stylizer, match_colours


@pytest.fixture(scope="module")
def stylizer(tmp_path_factory: pytest.TempPathFactory) -> Stylizer:
    torch.manual_seed(1)
    return Stylizer(load_efficientnet(write_weights(tmp_path_factory.mktemp("weights"))), 8)


def draw(height: int, width: int, seed: int) -> torch.Tensor:
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(seed)) - 0.5


def test_colours_get_the_mean_and_spread_of_the_style() -> None:
    content, style = draw(16, 24, 1), draw(8, 8, 2) * 0.5 + 0.1
    matched = match_colours(content, style)
    torch.testing.assert_close(matched.mean((2, 3)), style.mean((2, 3)), atol=1e-3, rtol=0)
    torch.testing.assert_close(matched.std((2, 3)), style.std((2, 3)), atol=0.02, rtol=0)


def test_an_untrained_stylizer_matches_colours_and_strength_blends(stylizer: Stylizer) -> None:
    content, style = draw(16, 40, 1), draw(32, 24, 2)
    none, half, whole = (stylizer(content, style, torch.full((2,), strength)) for strength in (0, 0.5, 1))
    torch.testing.assert_close(none, content)
    torch.testing.assert_close(whole, match_colours(content, style))
    torch.testing.assert_close(half, (none + whole) / 2)
