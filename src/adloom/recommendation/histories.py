"""The items of known users by pseudonym, for serving."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from adloom.arrays import BytesArray, Int32Array, Int64Array
from adloom.data.privacy import PSEUDONYM_LENGTH
from adloom.recommendation.interactions import UNKNOWN, Interactions
from adloom.storage import npz

_ARRAYS = ("pseudonyms", "starts", "item")


@dataclass(frozen=True)
class Histories:
    """Users and their items, sorted by pseudonym."""

    pseudonyms: BytesArray  # (users,) S32, ascending
    starts: Int64Array  # (users + 1,): the first item of each user, and the end
    item: Int32Array  # (items of all users,), oldest first

    @classmethod
    def build(cls, interactions: Interactions) -> Self:
        """Build the index of all users and their known items."""
        known = interactions.keep(interactions.item != UNKNOWN)
        return cls(np.array(known.users, dtype=f"S{PSEUDONYM_LENGTH}"), known.starts, known.item)

    def find(self, pseudonym: str) -> Int32Array:
        """Return a user's items, oldest first; none for an unknown user."""
        row = int(np.searchsorted(self.pseudonyms, np.bytes_(pseudonym)))
        if row == len(self.pseudonyms) or self.pseudonyms[row] != pseudonym.encode():
            return self.item[:0]
        return self.item[self.starts[row] : self.starts[row + 1]]

    def save(self, path: Path) -> None:
        """Write an npz file without pickle."""
        npz.save(path, pseudonyms=self.pseudonyms, starts=self.starts, item=self.item)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read saved histories. Raises ArtifactError when the file is invalid."""
        return cls(*npz.load(path, _ARRAYS))
