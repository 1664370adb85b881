"""Training of the stylizer: all pairs of contents and styles, and losses that fall."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.random_efficientnet import write_weights

from adloom.config.params import TrainStyle
from adloom.creatives.efficientnet import load_efficientnet
from adloom.creatives.style_module import StyleModule, StylePairs
from adloom.creatives.stylizer_net import Stylizer

PARAMS = TrainStyle(epochs=1, steps_per_epoch=1, batch_size=2, learning_rate=0.01, threads=1)


def test_every_content_meets_every_style() -> None:
    contents, styles = (np.full((n, 3, 2, 2), 10 * np.arange(n)[:, None, None, None], np.uint8) for n in (2, 3))
    pairs = StylePairs(contents, styles)
    content, style = pairs[np.arange(len(pairs))]
    shades = ((torch.stack([content, style])[:, :, 0, 0, 0] + 1) * 127.5).round().int().T.tolist()
    assert shades == [[0, 0], [0, 10], [0, 20], [10, 0], [10, 10], [10, 20]]


@pytest.mark.slow
def test_the_frozen_network_is_neither_trained_nor_part_of_a_checkpoint_twice(tmp_path: Path) -> None:
    net = load_efficientnet(write_weights(tmp_path))
    module = StyleModule(Stylizer(net, 4), net, PARAMS)
    module.log_dict = lambda *_, **__: None  # there is no trainer
    batch = torch.rand((2, 3, 32, 32)), torch.rand((2, 3, 32, 32))
    module.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for weight in net.parameters())
    assert module.net.draw.weight.grad is not None
    names = module.state_dict().keys()
    assert not [name for name in names if not name.startswith("net.")]
    assert not [name for name in names if "blocks.5." in name]
