"""Arrays in npz files, without pickle. Equal arrays give equal bytes under every release of Python."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adloom.arrays import AnyArray
from adloom.errors import ArtifactError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
HEADER = 2**16  # bytes of an array's header at most
_UNIX, _PLAIN_FILE = 3, 0o600 << 16


def save(path: Path, /, **arrays: npt.ArrayLike) -> None:
    """Write arrays in this order, for `load` or `np.load`. Raises ValueError for an array of objects."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            array = np.asarray(values, order="C")
            entry.file_size = array.nbytes + HEADER  # an upper bound, so that zip64 is used where it is needed
            with archive.open(entry, "w") as stream:  # in pieces; sizes are written before the data at the end
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
