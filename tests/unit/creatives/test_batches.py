"""Training rows of pictures."""

import numpy as np

from adloom.creatives.batches import PictureDataset


def test_rows_are_floats_of_bytes() -> None:
    rows = PictureDataset(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), np.array([3, 4]))
    picture, category = rows[np.array([1, 0, 1])]
    assert picture.flatten().tolist() == [1, -1, 1]
    assert category.tolist() == [4, 3, 4]
