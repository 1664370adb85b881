"""Splits of rows by content, time or user. Each depends on the row alone."""

import hashlib
import unicodedata
from collections.abc import Iterable
from datetime import date

import numpy as np
import pandas as pd

from adloom.arrays import StrArray

HASH_SPLITS = ("train", "validation", "test")  # 80 %, 10 %, 10 %
TIME_SPLITS = ("calibration", "holdout")
HALVES = ("a", "b")


def hash_content(content: bytes) -> int:
    """Return the first 8 bytes of the content's sha256 as a number."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def split_by_hash(hashes: Iterable[int]) -> StrArray:
    """Return the split of each content hash; equal contents share a split."""
    tenth = np.fromiter((h % 10 for h in hashes), dtype=np.int64)
    return np.where(tenth < 8, "train", np.where(tenth == 8, "validation", "test"))


def split_by_time(timestamp: pd.Series, holdout_start: date) -> StrArray:
    """Return calibration before the first day of the holdout (UTC), else holdout."""
    start = pd.Timestamp(holdout_start, tz="UTC")
    return np.where(timestamp < start, "calibration", "holdout")


def assign_halves(pseudonym: pd.Series) -> StrArray:
    """Return a or b for each pseudonym: an even or odd first hex digit."""
    return np.where(pseudonym.str[0].isin(list("02468ace")), "a", "b")


def normalise_text(text: str) -> str:
    """Return a text without differences of compatibility forms, letter case and blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
