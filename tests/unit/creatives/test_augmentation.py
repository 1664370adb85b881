"""Differentiable augmentation: a picture moves, and gradients pass."""

import torch

from adloom.creatives.augmentation import translate


def test_a_moved_picture_keeps_its_square_inside() -> None:
    torch.manual_seed(0)
    picture = torch.zeros(50, 1, 16, 16)
    picture[:, :, 6:10, 6:10] = 1
    moved = translate(picture)
    assert torch.equal(moved.sum((1, 2, 3)), torch.full((50,), 16.0))
    rows = moved.sum((1, 3)).argmax(1)
    assert set(rows.tolist()) == {4, 5, 6, 7, 8}  # by up to 16 / 8 pixels


def test_gradients_pass_to_the_picture() -> None:
    torch.manual_seed(0)
    picture = torch.zeros(8, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(translate(picture).sum(), picture)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
