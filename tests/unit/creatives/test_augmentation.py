"""Differentiable augmentation: what each change does to a picture, and that gradients pass."""

import torch

from adloom.creatives.augmentation import augment, change_colours, cut_out, translate


def test_a_moved_picture_keeps_its_square_inside() -> None:
    torch.manual_seed(0)
    picture = torch.zeros(50, 1, 16, 16)
    picture[:, :, 6:10, 6:10] = 1
    moved = translate(picture)
    assert torch.equal(moved.sum((1, 2, 3)), torch.full((50,), 16.0))
    rows = moved.sum((1, 3)).argmax(1)
    assert set(rows.tolist()) == {4, 5, 6, 7, 8}  # by up to 16 / 8 pixels


def test_a_cut_square_is_grey_and_has_half_the_size() -> None:
    torch.manual_seed(0)
    cut = (cut_out(torch.ones(50, 3, 16, 16)) == 0).sum((1, 2, 3)) / 3
    assert cut.max() == 8 * 8
    assert cut.min() >= 4 * 4  # at a corner


def test_colours_change_by_brightness_saturation_and_contrast() -> None:
    torch.manual_seed(0)
    picture = torch.rand(50, 3, 4, 4)
    changed = change_colours(picture)
    assert (changed.mean((1, 2, 3)) - picture.mean((1, 2, 3))).abs().max() <= 0.5
    saturation = changed.diff(dim=1) / picture.diff(dim=1)  # times the contrast, the same for all pixels
    assert torch.allclose(saturation, saturation[:, :1, :1, :1].expand_as(saturation), atol=1e-2)


def test_gradients_pass_to_the_picture() -> None:
    torch.manual_seed(0)
    picture = torch.zeros(8, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(augment(picture).sum(), picture)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
