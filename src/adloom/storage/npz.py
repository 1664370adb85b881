"""Arrays as an npz whose bytes are a function of the arrays alone: NumPy's own differ between releases of Python."""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adloom.arrays import AnyArray

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_UNIX, _PLAIN_FILE = 3, 0o600 << 16


def save(path: Path, /, **arrays: npt.ArrayLike) -> None:
    """
    Write arrays of any shape, in the order given, for `np.load(path, allow_pickle=False)` to read.

    Raises ValueError for an array of objects, which only a pickle could hold.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(entry, _npy(np.asarray(values, order="C")))  # in one piece: its size is known before


def _npy(values: AnyArray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
