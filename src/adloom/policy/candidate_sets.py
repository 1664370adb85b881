"""Distinct lists of candidates, one after the other in one array."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from adloom.arrays import BoolArray, Int32Array, Int64Array, UInt64Array

MAX_CANDIDATES = 2**20  # sorted at once
LAST_HASH = np.uint64(2**64 - 1)  # so that each search ends at a hash


@dataclass(frozen=True)
class CandidateSets:
    """Distinct candidate lists as ascending indices of creatives."""

    starts: Int64Array  # (sets + 1,) into candidates
    candidates: Int32Array  # of all sets

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> Int32Array:
        return self.candidates[self.starts[number] : self.starts[number + 1]]

    def gather(self, numbers: Int32Array) -> tuple[Int64Array, Int32Array]:
        """Return the starts (numbers + 1,) and candidates of several sets, one after the other."""
        sizes = np.diff(self.starts)[numbers]
        return np.concatenate([[0], np.cumsum(sizes)]), self.candidates[_join_ranges(self.starts[numbers], sizes)]

    def filter(self, numbers: Int32Array, keep: BoolArray) -> Self:
        """Return several sets without the creatives that `keep` (creatives,) excludes; a set may become empty."""
        starts, candidates = self.gather(numbers)
        kept = keep[candidates]
        return type(self)(np.concatenate([[0], np.cumsum(kept)])[starts], candidates[kept])


@dataclass
class CandidateIndex:
    """
    Numbers creatives and candidate lists over the chunks of a table.

    A list is known by the sum of its creatives' 64-bit hashes; two lists of a table almost never share one.
    """

    _creatives: dict[str, int] = field(default_factory=dict)
    _hashes: UInt64Array = field(default_factory=lambda: np.array([LAST_HASH]))  # ascending
    _numbers: Int32Array = field(default_factory=lambda: np.full(1, -1, np.int32))  # of the sets with these hashes
    _sizes: "array[int]" = field(default_factory=lambda: array("q"))
    _candidates: "array[int]" = field(default_factory=lambda: array("i"))

    def number_creatives(self, names: pd.Series) -> Int32Array:
        """Return each creative's number, in order of appearance (rows,)."""
        return self._number(pa.array(names, pa.string()))

    def number_sets(
        self, candidates: pd.Series, placement: pd.Series, shown: Int32Array, by_placement: Mapping[str, list[str]]
    ) -> Int32Array:
        """Return the set of each row: its candidates with the shown creative, or those of its placement (rows,)."""
        lists = pa.array(candidates, pa.list_(pa.string()))
        logged = pc.is_valid(lists).to_numpy(zero_copy_only=False)
        result = np.zeros(len(lists), np.int32)
        for name in placement[~logged].unique():
            numbers = self._number(pa.array(by_placement[name]))
            result[~logged & (placement == name).to_numpy(bool)] = self._add(np.zeros(len(numbers), np.int64), numbers)
        if logged.any():
            lists = lists.drop_null()
            row = np.concatenate([pc.list_parent_indices(lists).to_numpy(), np.arange(len(lists))])
            result[logged] = self._add(row, np.concatenate([self._number(pc.list_flatten(lists)), shown[logged]]))
        return result

    def _number(self, names: pa.Array) -> Int32Array:
        encoded = names.dictionary_encode()
        known = self._creatives
        numbers = np.array([known.setdefault(name, len(known)) for name in encoded.dictionary.to_pylist()], np.int32)
        return np.asarray(numbers[encoded.indices.to_numpy()])

    def _add(self, row: Int64Array, creative: Int32Array) -> Int32Array:
        """Return the set of each row (rows,); each row has a candidate, and they need not be distinct."""
        row, numbers = np.divmod(np.unique(row * len(self._creatives) + creative), len(self._creatives))
        sizes = np.bincount(row)
        starts = np.cumsum(sizes) - sizes
        hashes = np.add.reduceat(pd.util.hash_array((numbers + 1).astype(np.uint64)), starts)
        distinct, first, of_row = np.unique(hashes, return_index=True, return_inverse=True)
        self._add_new(distinct, starts[first], sizes[first], numbers)
        return self._numbers[np.searchsorted(self._hashes, distinct)][of_row]

    def _add_new(self, hashes: UInt64Array, starts: Int64Array, sizes: Int64Array, creative: Int64Array) -> None:
        position = np.searchsorted(self._hashes, hashes)
        is_new = self._hashes[position] != hashes
        position, sizes = position[is_new], sizes[is_new]
        self._hashes = np.insert(self._hashes, position, hashes[is_new])
        self._numbers = np.insert(self._numbers, position, len(self._sizes) + np.arange(len(sizes), dtype=np.int32))
        self._sizes.frombytes(sizes.astype(np.int64).tobytes())
        self._candidates.frombytes(creative[_join_ranges(starts[is_new], sizes)].astype(np.int32).tobytes())

    def finish(self) -> tuple[tuple[str, ...], CandidateSets, Int32Array]:
        """Return the creatives, ascending, the sets of their indices, and each number's index."""
        creatives = tuple(sorted(self._creatives))
        rank = np.empty(len(creatives), np.int32)
        rank[[self._creatives[name] for name in creatives]] = np.arange(len(creatives))
        starts = np.concatenate([[0], np.cumsum(np.frombuffer(self._sizes, np.int64))])
        candidates = np.frombuffer(self._candidates, np.int32)
        bounds = np.searchsorted(starts, np.arange(0, starts[-1], MAX_CANDIDATES), "left")
        for first, last in zip(bounds, [*bounds[1:], len(starts) - 1], strict=True):
            part = slice(starts[first], starts[last])
            number = np.arange(first, last).repeat(np.diff(starts[first : last + 1]))
            candidates[part] = np.sort(number * len(rank) + rank[candidates[part]]) % len(rank)
        return creatives, CandidateSets(starts, candidates), rank


def _join_ranges(starts: Int64Array, sizes: Int64Array) -> Int64Array:
    """Return the indices of ranges, one after the other."""
    return np.arange(sizes.sum()) + (starts - (np.cumsum(sizes) - sizes)).repeat(sizes)
