"""Arrays in an npz file, without pickle: the one way in which segmenter, members and policies are read."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adloom.arrays import AnyArray
from adloom.errors import ArtifactError


def read_arrays(path: Path, names: Sequence[str]) -> list[AnyArray]:
    """Read the named arrays of an npz. Raises ArtifactError when it is no npz, or lacks one, or holds pickles."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as found:
            return [found[name] for name in names]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; make or fetch {path.parent.name} again") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: expected an npz with {', '.join(names)}: {error}") from None
