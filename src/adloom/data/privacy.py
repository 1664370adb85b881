"""Privacy of users: pseudonyms, consent, and the key's fingerprint. The key itself is never written."""

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # serving needs `pseudonym` and has no pandas
    import pandas as pd

PUBLISHED_KEY = b"adloom: key of the published data"  # for public data only: it is no secret
USER_TABLES = ("events", "impressions")  # their rows belong to users
PSEUDONYM_LENGTH = 32  # hex digits
CONSENT_VALUES = frozenset({"true", "1", "yes", "y", "t"})


def pseudonymise(user: str, key: bytes) -> str:
    """Return the first 32 hex digits (128 bits) of a user id's HMAC-SHA256."""
    return hmac.digest(key, user.encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


def make_pseudonymiser(key: bytes) -> Callable[[str], str]:
    """Return a function that pseudonymises with one key; it hashes the key once."""
    keyed = hmac.new(key, digestmod="sha256")

    def pseudonym(user: str) -> str:
        digest = keyed.copy()
        digest.update(user.encode())
        return digest.hexdigest()[:PSEUDONYM_LENGTH]

    return pseudonym


def pseudonymise_column(users: "pd.Series", key: bytes) -> "pd.Series":
    """Return the pseudonym of each user id; missing ids stay missing."""
    pseudonyms = {user: pseudonymise(user, key) for user in users.dropna().unique()}
    return users.map(pseudonyms).astype("str")


def look_like_pseudonyms(users: "pd.Series") -> "pd.Series":
    """Return whether each user id has the form of a pseudonym."""
    return users.astype("str").str.fullmatch(f"[0-9a-f]{{{PSEUDONYM_LENGTH}}}").fillna(False).astype("bool")


def key_fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key and reveal nothing else."""
    return hmac.digest(key, b"adloom pseudonym key fingerprint", hashlib.sha256).hex()[:16]


def has_consent(column: "pd.Series") -> "pd.Series":
    """Return whether each row has consent."""
    return column.astype("str").str.strip().str.lower().isin(CONSENT_VALUES)
