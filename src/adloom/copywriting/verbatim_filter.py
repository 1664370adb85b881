"""Detect verbatim copies of training lines by fingerprints, which reveal no line."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from adloom.arrays import BoolArray, UInt64Array


def fingerprint_lines(lines: Iterable[str]) -> UInt64Array:
    """Return the distinct fingerprints of lines, sorted; case and blanks do not matter."""
    return np.unique(np.array([_fingerprint(line) for line in lines], np.uint64))


def is_known(known: UInt64Array, lines: Sequence[str]) -> BoolArray:
    """Return whether the fingerprint of each line (lines,) is one of `known`, which are sorted."""
    fingerprints = np.array([_fingerprint(line) for line in lines], np.uint64)
    place = np.searchsorted(known, fingerprints)
    found = place < len(known)
    found[found] = known[place[found]] == fingerprints[found]
    return found


def _fingerprint(line: str) -> int:
    normalised = " ".join(line.casefold().split())
    return int.from_bytes(hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).digest()[:8], "big")
