"""Pictures on disk, for tables that are larger than the memory."""

import math
import tempfile
import weakref
from collections.abc import Iterable

import numpy as np

from adloom.arrays import Int64Array, UInt8Array


class PictureFile:
    """Pixels in a temporary file without a name, indexed like an array by row numbers or a slice."""

    def __init__(self, shape: tuple[int, int, int], batches: Iterable[UInt8Array]) -> None:
        """Write batches of pictures (pictures, *shape). Raises OSError naming the folder when it is full."""
        self._stream = tempfile.TemporaryFile(prefix="adloom-", buffering=0)  # noqa: SIM115 - the next line closes it
        weakref.finalize(self, self._stream.close)
        number = 0
        try:
            for batch in batches:
                self._stream.write(batch.tobytes())
                number += len(batch)
        except OSError as error:
            raise OSError(error.errno, str(error), tempfile.gettempdir()) from None
        self.shape = (number, *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int64Array | slice) -> UInt8Array:
        """Read pictures (rows, channels, height, width)."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        pixels = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        size = math.prod(self.shape[1:])
        for picture, number in zip(pixels, numbers, strict=True):
            self._stream.seek(number * size)
            self._stream.readinto(picture.data)
        return pixels
