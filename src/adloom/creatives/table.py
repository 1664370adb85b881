"""The table of creatives as arrays."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import Int64Array, UInt8Array
from adloom.creatives import pictures
from adloom.errors import DataError


@dataclass(frozen=True)
class Creatives:
    """Pictures (pictures, channels, height, width) and the index of each one's category (pictures,)."""

    pixels: UInt8Array
    category: Int64Array

    def __len__(self) -> int:
        return len(self.category)


def list_categories(rows: pd.DataFrame) -> list[str]:
    """Return the sorted categories of the training rows."""
    categories = sorted(rows.loc[rows["split"] == "train", "category"].unique())
    if not categories:
        raise DataError("creatives: no picture in split train, expected at least 1; add pictures to ingest.creatives")
    return categories


def decode_split(rows: pd.DataFrame, split: str, categories: list[str]) -> Creatives:
    """Decode a split's pictures of known categories. Raises DataError for a broken picture."""
    channels, height, width = picture_shape(rows)
    selected = rows[(rows["split"] == split) & rows["category"].isin(categories)]
    numbers = {name: number for number, name in enumerate(categories)}
    category = np.array([numbers[name] for name in selected["category"]], np.int64)
    return Creatives(pictures.decode_pngs(selected["image"].tolist(), channels, height, width), category)


def decode_test(rows: pd.DataFrame, categories: list[str]) -> Creatives:
    """Decode the test pictures. Raises DataError when there is none."""
    test = decode_split(rows, "test", categories)
    if not len(test):
        raise DataError("creatives: 0 pictures in split test, expected at least 1; add pictures to ingest.creatives")
    return test


def picture_shape(rows: pd.DataFrame) -> tuple[int, int, int]:
    """Return the channels, height and width of all rows. Raises DataError when they differ."""
    shapes = rows[["channels", "height", "width"]].drop_duplicates()
    if len(shapes) != 1:
        raise DataError(f"creatives: {len(shapes)} shapes of picture, expected 1; run `adloom prepare`")
    channels, height, width = (int(number) for number in shapes.iloc[0])
    return channels, height, width
