"""Differentiable augmentation of real and generated pictures, so that small sets last longer (Zhao et al. 2020)."""

import torch

SHIFT = 8  # pictures move by up to 1/8 of their size


def translate(picture: torch.Tensor) -> torch.Tensor:
    """
    Move each picture (batch, channels, size, size) at random by up to 1 / SHIFT of its size, repeating its edge.

    Changes of colour and squares cut out made pictures of small sets worse.
    """
    size = picture.shape[-1]
    most = round(size / SHIFT)
    moves = torch.randint(-most, most + 1, (2, len(picture), 1), device=picture.device)
    row, column = (torch.arange(size, device=picture.device) + moves).clamp(0, size - 1)
    picture = picture.gather(2, row[:, None, :, None].expand_as(picture))
    return picture.gather(3, column[:, None, None, :].expand_as(picture))
