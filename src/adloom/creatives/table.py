"""The table of creatives as arrays."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import Int64Array, UInt8Array
from adloom.creatives import pictures
from adloom.errors import DataError


@dataclass(frozen=True)
class Creatives:
    """Pictures (pictures, channels, height, width) and the number of each one's category (pictures,)."""

    pixels: UInt8Array
    category: Int64Array

    def __len__(self) -> int:
        return len(self.category)


def list_categories(rows: pd.DataFrame) -> list[str]:
    """Return the categories of the training rows, sorted; a model knows no others."""
    found = sorted(rows.loc[rows["split"] == "train", "category"].unique())
    if not found:
        raise DataError("creatives: no picture in split train, expected at least 1; add pictures to ingest.creatives")
    return found


def decode_split(rows: pd.DataFrame, split: str, known: list[str]) -> Creatives:
    """Decode the pictures of a split, those of unknown categories left out. Raises DataError on a broken picture."""
    channels, height, width = picture_shape(rows)
    chosen = rows[(rows["split"] == split) & rows["category"].isin(known)]
    numbers = {name: number for number, name in enumerate(known)}
    category = np.array([numbers[name] for name in chosen["category"]], np.int64)
    return Creatives(pictures.decode_pngs(chosen["image"].tolist(), channels, height, width), category)


def picture_shape(rows: pd.DataFrame) -> tuple[int, int, int]:
    """Return channels, height and width, which all rows share. Raises DataError when they do not."""
    found = rows[["channels", "height", "width"]].drop_duplicates()
    if len(found) != 1:
        raise DataError(f"creatives: {len(found)} shapes of picture, expected 1; run `adloom prepare`")
    channels, height, width = (int(number) for number in found.iloc[0])
    return channels, height, width
