"""The table of creatives as arrays."""

import numpy as np
import pandas as pd
import pytest

from adloom.creatives import pictures, table
from adloom.errors import DataError


def rows() -> pd.DataFrame:
    pixels = np.arange(5, dtype=np.uint8).repeat(4).reshape(5, 1, 2, 2)
    return pd.DataFrame(
        {
            "category": ["Shoe", "Bag", "Shoe", "Hat", "Bag"],
            "split": ["train", "train", "test", "test", "test"],
            "image": pictures.encode_pngs(pixels),
            "width": 2,
            "height": 2,
            "channels": 1,
        }
    )


def test_a_model_knows_the_categories_it_is_trained_on() -> None:
    assert table.list_categories(rows()) == ["Bag", "Shoe"]


def test_a_split_is_decoded_and_unknown_categories_are_left_out() -> None:
    test = table.decode_split(rows(), "test", ["Bag", "Shoe"])
    assert test.category.tolist() == [1, 0]
    assert test.pixels[:, 0, 0, 0].tolist() == [2, 4]


def test_a_table_without_training_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="no picture in split train, expected at least 1; add pictures to ingest"):
        table.list_categories(rows().query("split == 'test'"))


def test_pictures_of_several_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="2 shapes of picture, expected 1; run `adloom prepare`"):
        table.decode_split(rows().assign(width=[2, 2, 2, 2, 3]), "train", ["Bag"])
