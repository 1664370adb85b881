"""Files of MNIST: pictures are paired with labels."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.source_files import message, read, written

from adloom.config.sources import Source


def idx(values: np.ndarray) -> bytes:
    return np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes() + values.astype(np.uint8).tobytes()


def test_idx_files_are_paired_and_labels_named(tmp_path: Path) -> None:
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    written(tmp_path, "train-images-idx3-ubyte.gz", gzip.compress(idx(pixels)))
    written(tmp_path, "train-labels-idx1-ubyte.gz", gzip.compress(idx(np.array([1, 0]))))
    source = Source(uri="idx", format="idx")
    rows = read(tmp_path, source, "creatives")
    assert rows["creative_id"].tolist() == ["train-000000", "train-000001"]
    assert rows["category"].tolist() == ["1", "0"]
    assert (np.asarray(Image.open(io.BytesIO(rows["image"][1]))) == pixels[1]).all()
    written(tmp_path, "categories.txt", "hats\nshoes\n")
    assert read(tmp_path, source, "creatives")["category"].tolist() == ["shoes", "hats"]


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (idx(np.zeros((2, 4, 4)))[:-1], idx(np.zeros(2)), "truncated: 31 bytes, expected 32 for [2, 4, 4]"),
        (idx(np.zeros((2, 4, 4))), idx(np.zeros(3)), "2 pictures but 3 labels in labels-idx1-ubyte"),
        (idx(np.zeros((1, 4, 4))), idx(np.array([7])), "label 7, but categories.txt names 2"),
        (idx(np.zeros((2, 4))), idx(np.zeros(2)), "not an idx file of unsigned bytes in 3 dimensions (magic 0x802)"),
        (b"\0\0", idx(np.zeros(2)), "images-idx3-ubyte: "),
        (idx(np.zeros((2, 4, 4))), None, "images-idx3-ubyte has no labels-idx1-ubyte"),
        (None, idx(np.zeros(2)), "no file called …images-idx3-ubyte"),
    ],
)
def test_broken_idx_files_say_why(tmp_path: Path, images: bytes | None, labels: bytes | None, expected: str) -> None:
    written(tmp_path, "categories.txt", "hats\nshoes\n")
    for name, content in {"images-idx3-ubyte": images, "labels-idx1-ubyte": labels}.items():
        if content is not None:
            written(tmp_path, name, content)
    assert expected in message(tmp_path, Source(uri="idx", format="idx"), "creatives")
