"""Assign any rows of features to segments, with a reason where features are missing. NumPy only, for serving."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from adloom.arrays import Float64Array, Int64Array
from adloom.audience.segmenter import FEATURES, Segmenter

UNSEEN = "unseen"  # the reason of a user without features
SUPPRESSED = "suppressed"  # the reason of a user of a segment that is too small, and the name of that segment

_VALID, _MISSING, _INVALID = range(3)  # states of a feature: a digit of a row's code
_WORDS = {_MISSING: "missing", _INVALID: "invalid"}
_PLACES = 3 ** np.arange(len(FEATURES))
_SUPPRESSED_CODE = 3 ** len(FEATURES)
_FREQUENCY, _INTERPURCHASE = FEATURES.index("frequency"), FEATURES.index("interpurchase_days")


@dataclass(frozen=True)
class Assignment:
    """The segments of rows, and codes of their reasons, which `list_reasons` explains."""

    segment: Int64Array  # (rows,) index into the segmenter's names; one past the end for none
    code: Int64Array  # (rows,) index into list_reasons()


def assign(segmenter: Segmenter, features: Float64Array) -> Assignment:
    """
    Assign rows of features (rows, 5), NaN where null.

    A feature that is missing, negative or infinite counts as that of the median user, and the reason names it. A row
    without any valid feature has no segment.
    """
    code, valid = _code_rows(features)
    segment = segmenter.index(np.where(valid, features, np.nan))
    none = ~valid.any(axis=1)
    if SUPPRESSED in segmenter.names:
        suppressed = (segment == segmenter.names.index(SUPPRESSED)) & ~none
        code, none = np.where(suppressed, _SUPPRESSED_CODE, code), none | suppressed
    return Assignment(np.where(none, len(segmenter.names), segment), code)


@cache
def list_reasons() -> tuple[str | None, ...]:
    """Return the reason of each code: None for a complete row, else the features in question."""
    reasons = (
        ", ".join(f"{name} {_WORDS[s]}" for name, s in zip(FEATURES, states, strict=True) if s in _WORDS)
        for states in (np.arange(_SUPPRESSED_CODE)[:, None] // _PLACES % 3).tolist()
    )
    all_missing = int(_PLACES.sum()) * _MISSING
    return (*(UNSEEN if i == all_missing else reason or None for i, reason in enumerate(reasons)), SUPPRESSED)


def _code_rows(features: Float64Array) -> tuple[Int64Array, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """
    Return the code of each row (rows,), and which features are valid (rows, 5).

    The time between purchases of a user with one purchase is not missing: there is none.
    """
    valid = (features >= 0) & (features < np.inf)
    states = np.where(valid, _VALID, np.where(np.isnan(features), _MISSING, _INVALID))
    single = valid[:, _FREQUENCY] & (features[:, _FREQUENCY] <= 1)
    states[single & (states[:, _INTERPURCHASE] == _MISSING), _INTERPURCHASE] = _VALID
    return states @ _PLACES, valid
