"""Assign users to arms: a user stays in one arm for as long as the experiment runs."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import accumulate

HASH_BYTES = 7  # all of them fit into the fraction of a float


class Assignment:
    """
    Assigns users by a keyed hash, which makes experiments with different keys independent.

    A decision without a user has no hash: its arm is drawn, each time anew.
    """

    def __init__(self, key: str, shares: Sequence[float]) -> None:
        self._keyed = blake2b(key=bytes.fromhex(key), digest_size=HASH_BYTES)
        self._ends = [*accumulate(shares)][:-1]  # without the last one, so that rounding leaves no gap

    def assign(self, user: str | None, random: Callable[[], float]) -> int:
        """Return the index of a user's arm; `random` is in [0, 1)."""
        if user is None:
            return bisect_right(self._ends, random())
        keyed = self._keyed.copy()
        keyed.update(user.encode())
        return bisect_right(self._ends, int.from_bytes(keyed.digest()) / 256**HASH_BYTES)
