"""The table of creatives as arrays. Pictures are read when they are needed: all of them may not fit into memory."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, compress

import numpy as np
import pandas as pd

from adloom.arrays import Int64Array, UInt8Array
from adloom.creatives import attributes, pictures
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.picture_file import PictureFile
from adloom.data.attributes import PREFIX
from adloom.errors import DataError

COLUMNS = ["creative_id", "category", "split", "channels", "height", "width"]  # all but the picture
MAX_BYTES = 2**28  # of a split's pixels in memory
ADVICE = "expected at least 1; add pictures to ingest.creatives"


@dataclass(frozen=True)
class StoredCreatives:
    """Pictures (pictures, channels, height, width) and the index of each one's category (pictures,)."""

    pixels: UInt8Array | PictureFile
    category: Int64Array

    def __len__(self) -> int:
        return len(self.category)

    def split_batches(self) -> Iterator[UInt8Array]:
        """Yield the pictures in batches for a network."""
        return (self.pixels[batch] for batch in pictures.split_batches(len(self), *self.pixels.shape[2:]))


@dataclass(frozen=True)
class Creatives(StoredCreatives):
    """The same in memory."""

    pixels: UInt8Array


@dataclass(frozen=True)
class CreativeTable:
    """
    The table of creatives; `read_images` yields the PNGs of all rows in order, some at once.

    With `transparency`, transparent pictures are read in 4 channels, else on white.
    """

    rows: pd.DataFrame  # COLUMNS, and a column per attribute
    read_images: Callable[[], Iterator[Iterable[bytes]]]
    transparency: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """The channels, height and width of all pictures. Raises DataError when they differ."""
        shapes = self.rows[["channels", "height", "width"]].drop_duplicates()
        if len(shapes) != 1:
            raise DataError(f"creatives: {len(shapes)} shapes of picture, expected 1; run `adloom prepare`")
        channels, height, width = (int(number) for number in shapes.iloc[0])
        return channels if self.transparency else min(channels, 3), height, width

    def list_categories(self) -> list[str]:
        """Return the sorted categories of the training rows."""
        categories = sorted(self.rows.loc[self.rows["split"] == "train", "category"].unique())
        if not categories:
            raise DataError(f"creatives: no picture in split train, {ADVICE}")
        return categories

    def list_conditions(self) -> ConditionSpace:
        """Return the categories and attributes of the training rows."""
        train = self.rows["split"] == "train"
        return ConditionSpace(self.list_categories(), attributes.list_values(self._attributes[train]))

    def number_labels(self, rows: Int64Array, space: ConditionSpace) -> Int64Array:
        """Return labels (rows, 1 + attributes) of rows with known categories, as ConditionSpace.encode takes them."""
        values = attributes.number_values(self._attributes.iloc[rows], space.attributes)
        return np.column_stack([self.number_categories(rows, space.categories), values])

    @property
    def _attributes(self) -> pd.DataFrame:
        """A column per attribute, by its name."""
        columns = self.rows.filter(regex=f"^{PREFIX}")
        return columns.rename(columns=lambda name: name.removeprefix(PREFIX))

    def find_rows(self, split: str, categories: list[str]) -> Int64Array:
        """Return the numbers of a split's rows with known categories."""
        return np.flatnonzero((self.rows["split"] == split) & self.rows["category"].isin(categories))

    def find_test_rows(self, categories: list[str]) -> Int64Array:
        """Return the numbers of the test rows with known categories. Raises DataError when there is none."""
        rows = self.find_rows("test", categories)
        if not len(rows):
            raise DataError(f"creatives: 0 pictures in split test, {ADVICE}")
        return rows

    def number_categories(self, rows: Int64Array, categories: list[str]) -> Int64Array:
        """Return the index of the category of each of these rows."""
        numbers = {name: number for number, name in enumerate(categories)}
        return np.array([numbers[name] for name in self.rows["category"].iloc[rows]], np.int64)

    def decode_batches(self, rows: Int64Array) -> Iterator[UInt8Array]:
        """Yield the pictures of ascending rows in batches for a network. Raises DataError for a broken picture."""
        wanted, shape = np.zeros(len(self.rows), bool), self.shape
        wanted[rows] = True
        images = compress(chain.from_iterable(self.read_images()), wanted)
        for batch in pictures.split_batches(len(rows), *shape[1:]):
            pngs = [next(images) for _ in rows[batch]]
            yield pictures.decode_pngs(pngs, *shape, first=batch.start)

    def decode(self, rows: Int64Array) -> UInt8Array:
        """Decode the pictures of rows in any order. Raises DataError for a broken picture."""
        ascending, position = np.unique(rows, return_inverse=True)
        pixels, start = np.empty((len(ascending), *self.shape), np.uint8), 0
        for batch in self.decode_batches(ascending):
            pixels[start : start + len(batch)] = batch
            start += len(batch)
        return pixels if np.array_equal(ascending, rows) else pixels[position]

    def decode_split(self, split: str, categories: list[str]) -> StoredCreatives:
        """Decode a split's pictures of known categories, many of them to a file. Raises DataError for a broken one."""
        rows = self.find_rows(split, categories)
        category = self.number_categories(rows, categories)
        if len(rows) * math.prod(self.shape) <= MAX_BYTES:
            return Creatives(self.decode(rows), category)
        return StoredCreatives(PictureFile(self.shape, self.decode_batches(rows)), category)
