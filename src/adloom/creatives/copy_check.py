"""Tell copies of training pictures from new pictures by the distance of their fingerprints."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.arrays import BoolArray, Float32Array, Float64Array, UInt8Array
from adloom.creatives.fingerprint import Fingerprint

FALSE_COPIES = 0.005  # share of new pictures below the threshold; a service draws another one in their place
SAME = 1e-3  # a held-out picture so near to a training picture is the same one, and tells nothing of new ones
MAX_THRESHOLD = 0.015  # of few held-out pictures, even the lowest quantile is high
ROWS_PER_TILE = 8192


@dataclass(frozen=True)
class CopyCheck:
    """The fingerprints of training pictures, and the distance below which a picture counts as a copy of one."""

    fingerprint: Fingerprint
    known: Float32Array  # (pictures, dimensions), rows of unit length
    threshold: float

    def find_copies(self, pixels: UInt8Array) -> BoolArray:
        """Return which pictures (pictures, channels, height, width) are copies."""
        is_copy: BoolArray = find_distances(self.fingerprint(pixels), self.known) < self.threshold
        return is_copy


def load_copy_check(path: Path) -> CopyCheck | None:
    """Return the check of a reader's fingerprint.npz; older readers have none."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if "known" not in arrays:
            return None
        fingerprint = Fingerprint(arrays["mean"], arrays["projection"])
        return CopyCheck(fingerprint, arrays["known"].astype(np.float32), float(arrays["threshold"]))


def find_distances(fingerprints: Float32Array, known: Float32Array) -> Float64Array:
    """Return the distance (pictures,), 1 - cosine, of each fingerprint to its nearest known one."""
    nearest = np.full(len(fingerprints), -1, np.float32)
    for start in range(0, len(known), ROWS_PER_TILE):
        nearest = np.maximum(nearest, (known[start : start + ROWS_PER_TILE] @ fingerprints.T).max(0))
    return 1 - nearest.astype(np.float64)


def calibrate_threshold(held_out: Float64Array) -> float:
    """Return the threshold that FALSE_COPIES of new pictures pass, from the distances of held-out pictures."""
    new = held_out[held_out >= SAME]
    return min(MAX_THRESHOLD, float(np.quantile(new, FALSE_COPIES))) if len(new) else MAX_THRESHOLD
