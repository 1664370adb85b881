"""Differentiable augmentation of real and generated pictures, so that small sets last longer (Zhao et al. 2020)."""

import torch

SHIFT = 8  # pictures move by up to 1/8 of their size


def augment(picture: torch.Tensor) -> torch.Tensor:
    """Change the colours of each picture (batch, channels, size, size) at random, move it, and cut a square out."""
    return cut_out(translate(change_colours(picture)))


def change_colours(picture: torch.Tensor) -> torch.Tensor:
    """Change brightness, saturation and contrast."""
    brightness, saturation, contrast = torch.rand(3, len(picture), 1, 1, 1, device=picture.device)
    picture = picture + brightness - 0.5
    grey = picture.mean(1, keepdim=True)
    picture = grey + (picture - grey) * 2 * saturation
    mean = picture.mean((1, 2, 3), keepdim=True)
    changed: torch.Tensor = mean + (picture - mean) * (contrast + 0.5)
    return changed


def translate(picture: torch.Tensor) -> torch.Tensor:
    """Move each picture by up to 1 / SHIFT of its size in both directions, repeating its edge."""
    size = picture.shape[-1]
    most = round(size / SHIFT)
    moves = torch.randint(-most, most + 1, (2, len(picture), 1), device=picture.device)
    row, column = (torch.arange(size, device=picture.device) + moves).clamp(0, size - 1)
    picture = picture.gather(2, row[:, None, :, None].expand_as(picture))
    return picture.gather(3, column[:, None, None, :].expand_as(picture))


def cut_out(picture: torch.Tensor) -> torch.Tensor:
    """Turn a square of half the size at a random place of each picture grey."""
    size = picture.shape[-1]
    centres = torch.randint(0, size + 1, (2, len(picture), 1), device=picture.device)
    row, column = (torch.arange(size, device=picture.device) + 0.5 - centres).abs() < size / 4
    kept: torch.Tensor = ~(row[:, None, :, None] & column[:, None, None, :])
    return picture * kept
