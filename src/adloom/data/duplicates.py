"""Find repeated keys over the chunks of a table."""

import numpy as np
import pandas as pd

from adloom.arrays import BoolArray, UInt64Array

FIRST_SLOTS = 2**16
MAX_LOAD = 0.6  # share of used slots, above which the table doubles
BLOCK = 2**20  # slots to move at once
EMPTY = np.uint64(0)


class DuplicateFinder:
    """Finds repeated keys by their 64-bit hashes, in a hash table of 13 to 27 bytes per distinct key."""

    def __init__(self) -> None:
        self._slots = np.full(FIRST_SLOTS, EMPTY)
        self._used = 0

    def __call__(self, keys: pd.Series) -> pd.Series:
        """Return whether each key repeats an earlier one; missing keys do not."""
        repeated = np.zeros(len(keys), np.bool_)
        present = keys.notna().to_numpy()
        hashes = np.maximum(pd.util.hash_pandas_object(keys[present], index=False).to_numpy(), EMPTY + np.uint64(1))
        again = pd.Series(hashes).duplicated().to_numpy(copy=True)
        again[~again] = self._insert(hashes[~again])
        repeated[present] = again
        return pd.Series(repeated, keys.index)

    def _insert(self, hashes: UInt64Array) -> BoolArray:
        """Insert different hashes; return whether each was in the table."""
        while self._used + len(hashes) > MAX_LOAD * len(self._slots):
            self._grow()
        known = _insert_hashes(self._slots, hashes)
        self._used += int((~known).sum())
        return known

    def _grow(self) -> None:
        larger = np.full(2 * len(self._slots), EMPTY)
        for start in range(0, len(self._slots), BLOCK):
            block = self._slots[start : start + BLOCK]
            _insert_hashes(larger, block[block != EMPTY])
        self._slots = larger


def _insert_hashes(slots: UInt64Array, hashes: UInt64Array) -> BoolArray:
    """Insert different hashes by open addressing with linear probes; return whether each was there."""
    known = np.zeros(len(hashes), np.bool_)
    pending = np.arange(len(hashes))
    slot = (hashes & np.uint64(len(slots) - 1)).astype(np.int64)
    while len(pending):
        values = slots[slot]
        known[pending] = values == hashes
        empty = values == EMPTY
        slots[slot[empty]] = hashes[empty]
        moving = slots[slot] != hashes
        pending, hashes, slot = pending[moving], hashes[moving], (slot[moving] + 1) % len(slots)
    return known
