"""Training of the reader: shifts, calibration and weight decay."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from adloom.config.params import TrainCnn
from adloom.creatives.cnn_module import ReaderModule, calibrate, shift_randomly
from adloom.creatives.cnn_net import Body, Reader

CNN = TrainCnn(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.01, width=4, embedding=6)


def test_shifted_pictures_move_by_a_pixel_and_repeat_their_edge() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 3, 3)
    torch.manual_seed(0)
    shifted = {tuple(shift_randomly(picture).flatten().int().tolist()) for _ in range(200)}
    assert len(shifted) == 9  # three rows by three columns
    assert (0, 0, 1, 0, 0, 1, 3, 3, 4) in shifted  # down and to the right
    assert tuple(range(9)) in shifted


def test_calibration_finds_the_temperature_the_logits_were_multiplied_by() -> None:
    torch.manual_seed(0)
    reader = Reader(Body(1, 28, width=4), 16, categories=3, embedding=6).eval()
    pictures = torch.rand(600, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        reader.project.weight *= 30  # tell the pictures apart
        logits, _ = reader(pictures)
        truth = torch.multinomial(logits.softmax(1), 1)[:, 0]
        reader.scale.mul_(5)
    loss = calibrate(reader, [(pictures[:300], truth[:300]), (pictures[300:], truth[300:])])
    assert reader.scale.item() == pytest.approx(10, rel=0.3)
    assert loss == pytest.approx(functional.cross_entropy(reader(pictures)[0], truth).item(), rel=1e-5)
    assert calibrate(reader, []) == 0


def test_scales_and_biases_are_not_decayed() -> None:
    module = ReaderModule(Reader(Body(1, 28, width=4), 16, categories=3, embedding=6), CNN, np.ones(3, np.int64))
    optimizer = module.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, others = optimizer.param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in others["params"]} == {0, 1}
    assert others["weight_decay"] == 0
