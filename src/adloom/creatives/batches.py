"""Training rows of the picture networks."""

import torch

from adloom.arrays import Float32Array, Int64Array, UInt8Array

Batch = tuple[torch.Tensor, torch.Tensor]


class PictureDataset:
    """
    Pictures, stored as bytes, with their labels: categories (pictures,) or conditions (pictures, columns).

    A batch is pictures (batch, channels, height, width), float32 in [-1, 1], and their labels.
    """

    def __init__(self, pixels: UInt8Array, labels: Int64Array | Float32Array) -> None:
        self._pixels = torch.from_numpy(pixels)  # without a copy
        self._labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, rows: Int64Array) -> Batch:
        index = torch.from_numpy(rows)
        return self._pixels[index].float() / 127.5 - 1, self._labels[index]
