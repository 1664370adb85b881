"""Training rows of the picture networks."""

import torch

from adloom.arrays import Float16Array, Float32Array, Int64Array, UInt8Array
from adloom.creatives.conditions import Conditions
from adloom.creatives.picture_file import PictureFile

Batch = tuple[torch.Tensor, ...]
Labels = Int64Array | Float32Array | Conditions


class PictureDataset:
    """
    Pictures, stored as bytes, with their labels: categories (pictures,), conditions (pictures, columns) or both.

    A batch is pictures (batch, channels, height, width), float32 in [-1, 1], and each kind of labels. Features of
    pictures, in half precision, become float32.
    """

    def __init__(self, pixels: UInt8Array | Float16Array | PictureFile, *labels: Labels) -> None:
        self._pixels = pixels
        self._labels = labels

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: Int64Array) -> Batch:
        values = torch.from_numpy(self._pixels[rows])
        pictures = values.float() / 127.5 - 1 if values.dtype == torch.uint8 else values.float()
        return pictures, *(torch.from_numpy(label[rows]) for label in self._labels)
