"""Pictures on disk: they are indexed like an array, and training on them gives equal batches."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.painted_pictures import as_table, rows

from adloom.creatives import table
from adloom.creatives.batches import PictureDataset
from adloom.creatives.picture_file import PictureFile

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 5), np.uint8)
FILE = PictureFile((3, 4, 5), [PIXELS[:4], PIXELS[4:]])
NUMBER = st.none() | st.integers(-12, 12)


@given(st.lists(st.integers(0, 10)))
def test_rows_in_any_order_are_those_of_an_array(numbers: list[int]) -> None:
    assert np.array_equal(FILE[np.array(numbers, np.int64)], PIXELS[np.array(numbers, np.int64)])


@given(NUMBER, NUMBER)
def test_slices_are_those_of_an_array(start: int | None, stop: int | None) -> None:
    assert np.array_equal(FILE[start:stop], PIXELS[start:stop])
    assert (len(FILE), FILE.shape) == (len(PIXELS), PIXELS.shape)


def test_a_large_split_trains_on_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    creatives, order = as_table(rows()), np.array([35, 0, 7, 7])
    kept = creatives.decode_split("train", ["squares", "stripes"])
    monkeypatch.setattr(table, "MAX_BYTES", 0)
    stored = creatives.decode_split("train", ["squares", "stripes"])
    assert isinstance(stored.pixels, PictureFile)
    one, other = (PictureDataset(split.pixels, split.category)[order] for split in (kept, stored))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert np.array_equal(np.concatenate([*stored.split_batches()]), np.concatenate([*kept.split_batches()]))


def test_the_file_has_no_name_and_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    PictureFile((3, 4, 5), [PIXELS])
    assert [*tmp_path.iterdir()] == []
    device = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the file of pictures closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: device)
    with pytest.raises(OSError, match="No space left") as caught:
        PictureFile((3, 4, 5), [PIXELS])
    assert caught.value.filename == str(tmp_path)
