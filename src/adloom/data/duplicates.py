"""Find repeated keys over the chunks of a table."""

import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from adloom.arrays import BoolArray, Int64Array, UInt64Array

FIRST_SLOTS = 2**16
MAX_SLOTS = 2**23  # 64 MiB; further keys go to files
MAX_LOAD = 0.6  # share of used slots, above which the table doubles
BLOCK = 2**20  # slots to move, or keys to write, at once
PARTITIONS = 256  # files of keys by the first bits of their hash; one at a time is sorted in memory
EMPTY = np.uint64(0)
ENTRY = np.dtype([("hash", np.uint64), ("row", np.int64)])


class DuplicateFinder:
    """
    Finds repeated keys by their 64-bit hashes, in a hash table of 13 to 27 bytes per distinct key.

    The table has at most MAX_SLOTS, so that memory does not grow with the rows: keys that find no room go to temporary
    files, which `find_late` searches.
    """

    def __init__(self) -> None:
        self._slots = np.full(FIRST_SLOTS, EMPTY)
        self._used = 0
        self._files: KeyFiles | None = None  # of a full table

    def __call__(self, keys: pd.Series) -> pd.Series:
        """Return whether each key repeats an earlier one; missing keys do not. The index has the rows' numbers."""
        repeated = np.zeros(len(keys), np.bool_)
        present = keys.notna().to_numpy()
        hashes = np.maximum(pd.util.hash_pandas_object(keys[present], index=False).to_numpy(), EMPTY + np.uint64(1))
        again = pd.Series(hashes).duplicated().to_numpy(copy=True)
        again[~again] = self._find_or_add(hashes[~again], keys.index.to_numpy()[present][~again])
        repeated[present] = again
        return pd.Series(repeated, keys.index)

    def find_late(self) -> Int64Array:
        """Return the ascending numbers of the rows that repeat a key for which the table had no room."""
        return self._files.find_repeated() if self._files else np.empty(0, np.int64)

    def _find_or_add(self, hashes: UInt64Array, rows: Int64Array) -> BoolArray:
        """Add different hashes; return whether each was in the table."""
        while not self._files and self._used + len(hashes) > MAX_LOAD * len(self._slots):
            if len(self._slots) < MAX_SLOTS:
                self._grow()
            else:
                self._files = KeyFiles()
        known = _probe(self._slots, hashes, insert=not self._files)
        if self._files:
            self._files.append(hashes[~known], rows[~known])
        else:
            self._used += int((~known).sum())
        return known

    def _grow(self) -> None:
        larger = np.full(2 * len(self._slots), EMPTY)
        for start in range(0, len(self._slots), BLOCK):
            block = self._slots[start : start + BLOCK]
            _probe(larger, block[block != EMPTY], insert=True)
        self._slots = larger


class KeyFiles:
    """Keys in temporary files, equal ones in the same file."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="adloom-keys-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._waiting: list[npt.NDArray[np.void]] = []

    def append(self, hashes: UInt64Array, rows: Int64Array) -> None:
        """Add keys of rows."""
        entries = np.empty(len(hashes), ENTRY)
        entries["hash"], entries["row"] = hashes, rows
        self._waiting.append(entries)
        if sum(map(len, self._waiting)) > BLOCK:
            self._write()

    def find_repeated(self) -> Int64Array:
        """Return the ascending numbers of the rows that repeat the key of an earlier one."""
        self._write()
        files = sorted(self._folder.iterdir())
        return np.sort(np.concatenate([_find_repeated_rows(np.fromfile(file, ENTRY)) for file in files]))

    def _write(self) -> None:
        entries = np.concatenate([np.empty(0, ENTRY), *self._waiting])
        self._waiting.clear()
        partition = entries["hash"] >> np.uint64(56)
        order = np.argsort(partition, kind="stable")
        ends = np.searchsorted(partition[order], np.arange(PARTITIONS - 1), side="right")
        for number, part in enumerate(np.split(entries[order], ends)):
            with (self._folder / f"{number:03}").open("ab") as file:
                part.tofile(file)


def _find_repeated_rows(entries: npt.NDArray[np.void]) -> Int64Array:
    """Return the rows after the first with each hash; entries are in the order of rows."""
    entries = entries[np.argsort(entries["hash"], kind="stable")]
    return np.asarray(entries["row"][1:][entries["hash"][1:] == entries["hash"][:-1]], np.int64)


def _probe(slots: UInt64Array, hashes: UInt64Array, *, insert: bool) -> BoolArray:
    """Find different hashes by open addressing with linear probes, and insert others; return whether each was there."""
    known = np.zeros(len(hashes), np.bool_)
    pending = np.arange(len(hashes))
    slot = (hashes & np.uint64(len(slots) - 1)).astype(np.int64)
    while len(pending):
        values = slots[slot]
        known[pending] = values == hashes
        moving = (values != hashes) & (values != EMPTY)
        if insert:
            empty = values == EMPTY
            slots[slot[empty]] = hashes[empty]
            moving = slots[slot] != hashes
        pending, hashes, slot = pending[moving], hashes[moving], (slot[moving] + 1) % len(slots)
    return known
