"""Arrays in npz files, without pickle. Equal arrays give equal bytes under every release of Python."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adloom.arrays import AnyArray
from adloom.errors import ArtifactError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_UNIX, _PLAIN_FILE = 3, 0o600 << 16


def save(path: Path, /, **arrays: npt.ArrayLike) -> None:
    """Write arrays in this order, for `load` or `np.load`. Raises ValueError for an array of objects."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(entry, _npy(np.asarray(values, order="C")))  # at once, so that the size precedes the data


def load(path: Path, names: Sequence[str]) -> list[AnyArray]:
    """Read the named arrays. Raises ArtifactError when the file is no npz, lacks an array or holds pickles."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; make or fetch {path.parent.name} again") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: expected an npz with {', '.join(names)}: {error}") from None


def _npy(values: AnyArray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
