"""Privacy of users: pseudonyms, consent, and the key's fingerprint. The key itself is never written."""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # serving needs `pseudonym` and has no pandas
    import pandas as pd

PUBLISHED_KEY = b"adloom: key of the published data"  # for public data only: it is no secret
USER_TABLES = ("events", "impressions")  # their rows belong to users
PSEUDONYM_LENGTH = 32  # hex digits
HMAC_BLOCK = 64  # bytes of a block of SHA-256
CONSENT_VALUES = frozenset({"true", "1", "1.0", "yes", "y", "t"})

_INVISIBLE = re.compile("[\\u00ad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u2069\\ufeff]")
_DIGIT = re.compile(r"(?![0-9])\d")  # of another script or width
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
_UUID_LENGTHS = (32, 36, 38, 41, 45)  # plain, with dashes, in braces, and as urn:uuid:
_UUID = re.compile(
    r"(?:\{|urn:uuid:)?([0-9a-f]{8}(-?)[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})\}?", re.IGNORECASE
)


def normalise_user_id(text: str) -> str:
    """
    Return the one spelling of a user id, "" for a blank one.

    White space around it and invisible characters vanish, Unicode becomes NFC, digits of any script become 0 to 9, 42.0
    becomes 42, and a UUID, also with urn:uuid:, lower-case hex digits. Case and leading zeros are kept.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
        text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = text.strip()
    if text.endswith("0") and "." in text and (number := _WHOLE_NUMBER.fullmatch(text)):
        return number[1]
    if len(text) in _UUID_LENGTHS and (uuid := _UUID.fullmatch(text)):
        return uuid[1].replace("-", "").lower()
    return text


def pseudonymise(user: str, key: bytes) -> str:
    """Return the first 32 hex digits (128 bits) of the HMAC-SHA256 of a normalised user id."""
    return hmac.digest(key, normalise_user_id(user).encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


def make_pseudonymiser(key: bytes) -> Callable[[str], str]:
    """Return a function that pseudonymises with one key. It hashes the key once, which takes half of hmac's time."""
    padded = (key if len(key) <= HMAC_BLOCK else hashlib.sha256(key).digest()).ljust(HMAC_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))  # of RFC 2104

    def pseudonym(user: str) -> str:
        message, digest = inner.copy(), outer.copy()
        message.update(normalise_user_id(user).encode())
        digest.update(message.digest())
        return digest.hexdigest()[:PSEUDONYM_LENGTH]

    return pseudonym


def look_like_pseudonyms(users: "pd.Series") -> "pd.Series":
    """Return whether each user id has the form of a pseudonym."""
    return users.astype("str").str.fullmatch(f"[0-9a-f]{{{PSEUDONYM_LENGTH}}}").fillna(False).astype("bool")


def key_fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key and reveal nothing else."""
    return hmac.digest(key, b"adloom pseudonym key fingerprint", hashlib.sha256).hex()[:16]


def find_key(fingerprint: str | None, own: bytes | None) -> bytes | None:
    """Return our own key or the published one, by the fingerprint; None if neither has it."""
    return next((key for key in (own, PUBLISHED_KEY) if key and key_fingerprint(key) == fingerprint), None)


def has_consent(column: "pd.Series") -> "pd.Series":
    """Return whether each row has consent."""
    return column.astype("str").str.strip().str.lower().isin(CONSENT_VALUES)
