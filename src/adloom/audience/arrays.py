"""Read arrays of an npz file, without pickle."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adloom.arrays import AnyArray
from adloom.errors import ArtifactError


def read_arrays(path: Path, names: Sequence[str]) -> list[AnyArray]:
    """Read the named arrays. Raises ArtifactError when the file is no npz, lacks an array or holds pickles."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; make or fetch {path.parent.name} again") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: expected an npz with {', '.join(names)}: {error}") from None
