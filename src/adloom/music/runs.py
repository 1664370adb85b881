"""Detect runs of other tunes: notes with the same intervals, in any key and rhythm."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import UInt64Array
from adloom.music.tune import Note

RUN = 16  # notes that no melody repeats
FAMILY = 10  # notes of the runs by which versions of a tune are found
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(31)


def fingerprint_runs(notes: Sequence[Note], length: int = RUN) -> UInt64Array:
    """Return the fingerprint of every run of `length` notes; rests do not matter."""
    pitches = np.array([note.pitch for note in notes if note.pitch is not None], np.int64)
    if len(pitches) < length:
        return np.empty(0, np.uint64)
    intervals = np.lib.stride_tricks.sliding_window_view(np.diff(pitches), length - 1).astype(np.uint64)
    polynomial = (intervals * MULTIPLIER ** np.arange(1, length, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    fingerprints: UInt64Array = (polynomial ^ (polynomial >> SHIFT)) * MULTIPLIER
    return fingerprints


def collect_runs(tunes: Sequence[Sequence[Note]]) -> UInt64Array:
    """Return the distinct fingerprints of all tunes, sorted."""
    return np.unique(np.concatenate([np.empty(0, np.uint64), *map(fingerprint_runs, tunes)]))


def has_known_run(notes: Sequence[Note], known: UInt64Array) -> bool:
    """Return whether a run of the notes is among the known ones, which are sorted."""
    runs = fingerprint_runs(notes)
    return bool((np.searchsorted(known, runs, "left") < np.searchsorted(known, runs, "right")).any())


def find_family(notes: Sequence[Note]) -> int:
    """
    Return a number that versions of a tune probably share: its lowest fingerprint (MinHash, Broder 1997).

    Two tunes share it with the probability of their share of common runs.
    """
    return int(fingerprint_runs(notes, min(FAMILY, len(notes))).min(initial=np.iinfo(np.uint64).max))
