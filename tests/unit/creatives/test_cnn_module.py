"""Training of the reader: shifts, calibration and weight decay."""

import pytest
import torch

from adloom.config.params import TrainCnn
from adloom.creatives.cnn_module import ReaderModule, calibrate, shift_randomly
from adloom.creatives.cnn_net import Reader

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
    reader = Reader(1, 28, 3, width=4, embedding=6).eval()
    pictures = torch.rand(600, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        reader.project.weight *= 30  # tell the pictures apart
        logits, _ = reader(pictures)
        truth = torch.multinomial(logits.softmax(1), 1)[:, 0]
        reader.scale.mul_(5)
    assert calibrate(reader, [(pictures[:300], truth[:300]), (pictures[300:], truth[300:])]) == pytest.approx(
        5, rel=0.3
    )
    assert reader.scale.item() == pytest.approx(10, rel=0.3)
    assert calibrate(reader, []) == 1


def test_scales_and_biases_are_not_decayed() -> None:
    module = ReaderModule(Reader(1, 28, 3, width=4, embedding=6), CNN)
    optimizer = module.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, others = optimizer.param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in others["params"]} == {0, 1}
    assert others["weight_decay"] == 0
