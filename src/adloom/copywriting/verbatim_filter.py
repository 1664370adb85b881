"""Which lines were trained on, as fingerprints: enough to refuse a verbatim copy, too little to read one."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from adloom.arrays import BoolArray, UInt64Array


def fingerprint_lines(lines: Iterable[str]) -> UInt64Array:
    """Return the distinct fingerprints of lines, sorted; two lines that differ only in case or blanks share one."""
    return np.unique(np.array([_fingerprint(line) for line in lines], np.uint64))


def is_known(known: UInt64Array, lines: Sequence[str]) -> BoolArray:
    """Return for each line (lines,) whether its fingerprint is known."""
    return np.isin(np.array([_fingerprint(line) for line in lines], np.uint64), known)


def _fingerprint(line: str) -> int:
    normal = " ".join(line.casefold().split())
    return int.from_bytes(hashlib.sha256(normal.encode("utf-8", "surrogatepass")).digest()[:8], "big")
