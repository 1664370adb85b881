"""Index of the segments of known users by pseudonym, for serving."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from adloom.arrays import BytesArray, Int64Array, IntegerArray, UnsignedArray
from adloom.data.privacy import PSEUDONYM_LENGTH
from adloom.storage import npz

if TYPE_CHECKING:
    import pandas as pd

_USERS = 1 << 16  # read at a time
_DIGITS = 4  # of a pseudonym, by which users are bucketed: of a million, a handful share a bucket
_ARRAYS = ("pseudonyms", "segment", "names")
_PSEUDONYM = np.dtype(f"S{PSEUDONYM_LENGTH}")


def _choose_dtype(names: Sequence[str]) -> np.dtype[np.unsignedinteger]:
    return np.dtype(np.uint8 if len(names) <= 256 else np.uint16)


def _slice_parts(users: int) -> Iterator[slice]:
    return (slice(start, start + _USERS) for start in range(0, users, _USERS))


@dataclass(frozen=True)
class SegmentIndex:
    """Users and their segments, sorted by pseudonym: 33 bytes a user."""

    pseudonyms: BytesArray  # (users,) S32, ascending
    segment: UnsignedArray  # (users,) index into names
    names: tuple[str, ...]

    @classmethod
    def build(cls, pseudonyms: "Sequence[str] | pd.Series", segment: Int64Array, names: tuple[str, ...]) -> Self:
        """Build the index of users and the indices of their segments (users,)."""
        ids = np.empty(len(pseudonyms), _PSEUDONYM)
        for part in _slice_parts(len(ids)):  # of a pandas column, Python's texts are larger than all else
            ids[part] = list(pseudonyms[part])
        numbers: UnsignedArray = segment.astype(_choose_dtype(names))
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids)
            ids, numbers = ids[order], numbers[order]
        return cls(ids, numbers, names)

    @staticmethod
    def write(
        path: Path,
        members: "Iterable[tuple[Sequence[str] | pd.Series, IntegerArray]]",
        users: int,
        names: Sequence[str],
    ) -> None:
        """Write the index of users, ascending by pseudonym, from batches of pseudonyms and segments (users,)."""
        number, parts = _choose_dtype(names), list[UnsignedArray]()

        def encode() -> Iterator[BytesArray]:
            for pseudonyms, segment in members:
                parts.append(segment.astype(number))  # a byte of each user is held, and written after all pseudonyms
                yield np.array(list(pseudonyms), _PSEUDONYM)

        pseudonyms = npz.ArrayParts(users, _PSEUDONYM, encode())
        npz.save(path, pseudonyms=pseudonyms, segment=npz.ArrayParts(users, number, parts), names=np.array(names))

    def __len__(self) -> int:
        return len(self.pseudonyms)

    def find(self, users: Sequence[str]) -> list[str | None]:
        """Return the segment id of each user, None for an unknown one."""
        return [self.names[i] if i >= 0 else None for i in self.find_indices(users).tolist()]

    def find_indices(self, users: "Sequence[str] | pd.Series") -> Int64Array:
        """Return each user's segment as an index into `names` (users,), -1 for an unknown one."""
        indices = np.empty(len(users), np.int64)
        for part in _slice_parts(len(users)):
            candidates = [user if len(user) == PSEUDONYM_LENGTH and user.isascii() else "" for user in users[part]]
            ids = np.array(candidates, dtype=_PSEUDONYM)
            index = np.minimum(np.searchsorted(self.pseudonyms, ids), len(self) - 1)
            known = self.pseudonyms[index] == ids
            indices[part] = np.where(known, self.segment[index].astype(np.int64), -1)
        return indices

    @cached_property
    def _bucket_starts(self) -> memoryview:
        """The first user of each bucket, and the end (buckets + 1,)."""
        prefixes = np.array([f"{i:0{_DIGITS}x}" for i in range(16**_DIGITS)], dtype=_PSEUDONYM)
        return np.append(np.searchsorted(self.pseudonyms, prefixes), len(self)).data

    def find_one(self, pseudonym: str) -> str | None:
        """Return the segment id of one pseudonym, faster than `find`."""
        number = int(pseudonym[:_DIGITS], 16)
        first, end = self._bucket_starts[number], self._bucket_starts[number + 1]
        offset = self.pseudonyms[first:end].tobytes().find(pseudonym.encode())
        return self.names[self.segment[first + offset // PSEUDONYM_LENGTH]] if offset % PSEUDONYM_LENGTH == 0 else None

    def save(self, path: Path) -> None:
        """Write an npz file without pickle."""
        npz.save(path, pseudonyms=self.pseudonyms, segment=self.segment, names=np.array(self.names))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved index. Raises ArtifactError when the file is invalid."""
        pseudonyms, segment, names = npz.load(path, _ARRAYS)
        return cls(pseudonyms, segment, tuple(map(str, names)))

    @classmethod
    def map(cls, path: Path) -> Self:
        """Open a saved index; its users stay in the file. Raises as `load` does."""
        (names,) = npz.load(path, ("names",))
        return cls(npz.map_array(path, "pseudonyms"), npz.map_array(path, "segment"), tuple(map(str, names)))
