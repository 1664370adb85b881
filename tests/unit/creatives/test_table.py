"""The table of creatives as arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.painted_pictures import as_table

from adloom.creatives import pictures
from adloom.creatives.table import CreativeTable
from adloom.errors import DataError


def create_table(**changes: Any) -> CreativeTable:
    pixels = np.arange(5, dtype=np.uint8).repeat(4).reshape(5, 1, 2, 2)
    frame = pd.DataFrame(
        {
            "category": ["Shoe", "Bag", "Shoe", "Hat", "Bag"],
            "split": ["train", "train", "test", "test", "test"],
            "image": pictures.encode_pngs(pixels),
            "width": 2,
            "height": 2,
            "channels": 1,
        }
    )
    return as_table(frame.assign(**changes))


def test_a_model_knows_the_categories_it_is_trained_on() -> None:
    assert create_table().list_categories() == ["Bag", "Shoe"]


def test_a_split_is_decoded_and_unknown_categories_are_left_out() -> None:
    test = create_table().decode_split("test", ["Bag", "Shoe"])
    assert test.category.tolist() == [1, 0]
    assert test.pixels[:][:, 0, 0, 0].tolist() == [2, 4]


def test_rows_are_decoded_in_any_order() -> None:
    assert create_table().decode(np.array([3, 0, 3]))[:, 0, 0, 0].tolist() == [3, 0, 3]


def test_a_batch_has_a_bounded_number_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PIXELS_PER_BATCH", 10)
    batches = list(create_table().decode_batches(np.array([0, 2, 3])))
    assert [batch[:, 0, 0, 0].tolist() for batch in batches] == [[0, 2], [3]]


def test_transparency_is_read_on_request_alone() -> None:
    clear = np.zeros((5, 4, 2, 2), np.uint8)
    table = create_table(image=pictures.encode_pngs(clear), channels=4)
    assert table.shape == (3, 2, 2)
    assert (table.decode(np.arange(5)) == 255).all()
    kept = replace(table, transparency=True)
    assert kept.shape == (4, 2, 2)
    assert (kept.decode(np.arange(5)) == 0).all()


def test_a_broken_picture_is_named_by_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PIXELS_PER_BATCH", 10)
    with pytest.raises(DataError, match="picture 3: not a PNG that can be read"):
        create_table(image=[*create_table().rows["image"][:3], b"broken", b""]).decode(np.arange(5))


def test_a_table_without_training_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="no picture in split train, expected at least 1; add pictures to ingest"):
        create_table(split="test").list_categories()


def test_pictures_of_several_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="2 shapes of picture, expected 1; run `adloom prepare`"):
        create_table(width=[2, 2, 2, 2, 3]).decode_split("train", ["Bag"])
