"""Arrays in npz files, without pickle. Equal arrays give equal bytes under every release of Python."""

import io
import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from adloom.arrays import AnyArray
from adloom.errors import ArtifactError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
HEADER = 2**16  # bytes of an array's header at most
_NAME_LENGTHS = 26  # offset in a zip's local header of the lengths of name and extra field, which end it
_UNIX, _PLAIN_FILE = 3, 0o600 << 16


@dataclass(frozen=True)
class ArrayParts:
    """A one-dimensional array that is written in parts, so that it is never held."""

    length: int
    dtype: np.dtype[Any]
    parts: Iterable[AnyArray]

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.length * self.dtype.itemsize

    def write(self, stream: IO[bytes]) -> None:
        """Write the bytes that `np.save` writes of the whole. Raises ValueError for parts of another length."""
        description = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(stream, description)
        written = 0
        for part in self.parts:
            stream.write(part.astype(self.dtype).tobytes())
            written += len(part)
        if written != self.length:
            raise ValueError(f"parts of {written} elements, expected {self.length}")


def save(path: Path, /, **arrays: npt.ArrayLike | ArrayParts) -> None:
    """Write arrays in this order, for `load` or `np.load`. Raises ValueError for an array of objects."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            array = values if isinstance(values, ArrayParts) else np.asarray(values, order="C")
            entry.file_size = array.nbytes + HEADER  # an upper bound, so that zip64 is used where it is needed
            with archive.open(entry, "w") as stream:  # in pieces; sizes are written before the data at the end
                if isinstance(array, ArrayParts):
                    array.write(stream)
                else:
                    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)


def load(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> list[AnyArray]:
    """
    Read the named arrays, then the optional ones, empty where absent.

    Raises ArtifactError when the file is no npz, lacks an array or holds pickles.
    """
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
            others = [arrays[name] if name in arrays else np.array([]) for name in optional]
            return [*(arrays[name] for name in names), *others]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; make or fetch {path.parent.name} again") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: expected an npz with {', '.join(names)}: {error}") from None


def map_array(path: Path, name: str) -> AnyArray:
    """Return an array of a file that `save` wrote, as a read-only map that takes no memory of its own."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        stream.seek(archive.getinfo(f"{name}.npy").header_offset + _NAME_LENGTHS)
        stream.seek(sum(struct.unpack("<HH", stream.read(4))), io.SEEK_CUR)
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        return np.memmap(path, dtype, "r", stream.tell(), shape)
