"""Training rows of both picture networks."""

import torch

from adloom.arrays import Int64Array, UInt8Array

Batch = tuple[torch.Tensor, torch.Tensor]


class PictureDataset:
    """
    Pictures with their categories, stored as bytes.

    A batch is pictures (batch, channels, height, width), float32 in [-1, 1], and categories (batch,), int64.
    """

    def __init__(self, pixels: UInt8Array, categories: Int64Array) -> None:
        self._pixels = torch.from_numpy(pixels)  # without a copy
        self._categories = torch.from_numpy(categories)

    def __len__(self) -> int:
        return len(self._categories)

    def __getitem__(self, rows: Int64Array) -> Batch:
        index = torch.from_numpy(rows)
        return self._pixels[index].float() / 127.5 - 1, self._categories[index]
