"""Reader of idx files, the format of MNIST."""

import gzip
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from adloom.arrays import UInt8Array
from adloom.config.sources import Source
from adloom.data import pictures
from adloom.data.reading.files import ROWS_PER_CHUNK, Chunks, translate_errors
from adloom.errors import DataError

IDX_IMAGES = re.compile(r"(?:(?P<set>.+)-)?images[-.]idx3-ubyte(?P<gz>\.gz)?")
IDX_CATEGORIES = "categories.txt"  # in the folder of idx files: the categories' names by label, one a line


def read_idx(root: Path, paths: Sequence[str], source: Source) -> Chunks:
    """Yield the pictures of idx files with the names of their labels."""
    del source
    files = {path.rpartition("/")[2]: root / path for path in paths}
    sets = [match for name in sorted(files) if (match := IDX_IMAGES.fullmatch(name))]
    if not sets:
        raise DataError(f"{root}: no file called …images-idx3-ubyte, only {', '.join(sorted(files))}")
    categories = files[IDX_CATEGORIES].read_text(encoding="utf-8").splitlines() if IDX_CATEGORIES in files else None
    for match in sets:
        labels = match.group().replace("images", "labels").replace("idx3", "idx1")
        if labels not in files:
            raise DataError(f"{root}: {match.group()} has no {labels} in its folder")
        yield from _read_idx_set(files[match.group()], files[labels], match["set"] or "", categories)


def _read_idx_set(images_path: Path, labels_path: Path, prefix: str, categories: Sequence[str] | None) -> Chunks:
    images, labels = _read_idx_array(images_path, 3), _read_idx_array(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path}: {len(images)} pictures but {len(labels)} labels in {labels_path.name}")
    if categories is not None and labels.max(initial=0) >= len(categories):
        raise DataError(f"{labels_path}: label {labels.max()}, but {IDX_CATEGORIES} names {len(categories)}")
    for start in range(0, len(images), ROWS_PER_CHUNK):
        picture, label = images[start : start + ROWS_PER_CHUNK], labels[start : start + ROWS_PER_CHUNK]
        ids = [f"{prefix}-{number:06}".lstrip("-") for number in range(start, start + len(picture))]
        names = [categories[index] if categories else str(index) for index in label]
        encoded = [pictures.encode_png(pixels[:, :, None]) for pixels in picture]
        yield pd.DataFrame({"creative_id": ids, "category": names, "image": encoded})


def _read_idx_array(path: Path, dimensions: int) -> UInt8Array:
    """Read unsigned bytes: magic 0x0000080d with d dimensions, then their sizes as big-endian uint32."""
    with translate_errors(path):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *shape = struct.unpack_from(f">I{dimensions}I", data)
    if magic != 0x0800 + dimensions:
        raise DataError(f"{path}: not an idx file of unsigned bytes in {dimensions} dimensions (magic {magic:#x})")
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if values.size != np.prod(shape):
        raise DataError(f"{path}: truncated: {values.size} bytes, expected {np.prod(shape)} for {shape}")
    return values.reshape(shape)
