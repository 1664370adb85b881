"""Shares of single users: robots, test accounts and placeholders have many times the rows of other users."""

import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, UInt64Array

LARGE_SHARE = 0.1  # of all rows, clicks or value
LARGE_RATIO = 5  # times the mean user; in a table of few users each has a large share
MAX_USERS = 2**20  # with exact amounts; of more, those with the smallest amounts are forgotten
DIGITS = 16  # of a pseudonym, by which a user is named
AMOUNTS = ("rows", "clicks", "value")


class UserSharesCheck:
    """
    Adds up rows, clicks and value by user, in bounded memory.

    A large share is too small by less than 0.1 % of all rows, for what a user had when it was forgotten.
    """

    def __init__(self) -> None:
        self._all = np.zeros(len(AMOUNTS))
        self._by_user = pd.DataFrame(np.empty((0, len(AMOUNTS))), np.empty(0, np.uint64), AMOUNTS)
        self._waiting: list[pd.DataFrame] = []
        self._forgotten = 0

    def count(self, rows: pd.DataFrame) -> None:
        """Count valid rows, with pseudonyms."""
        amounts = _get_amounts(rows)
        self._all += amounts.sum(axis=0)
        known = rows["user_id"].notna().to_numpy()
        self._waiting.append(pd.DataFrame(amounts[known], _to_numbers(rows.loc[known, "user_id"]), AMOUNTS))
        if sum(map(len, self._waiting)) > MAX_USERS:
            self._merge()

    def _merge(self) -> None:
        merged = pd.concat([self._by_user, *self._waiting]).groupby(level=0).sum()
        if len(merged) > MAX_USERS:
            largest = [merged[name].nlargest(MAX_USERS // len(AMOUNTS)).index for name in AMOUNTS]
            kept = merged.loc[largest[0].union(largest[1]).union(largest[2])]
            self._forgotten += len(merged) - len(kept)
            merged = kept
        self._by_user, self._waiting = merged, []

    def warnings(self) -> list[str]:
        """Return the users with a large share."""
        return [
            f"user_id: one user has {share:.0%} of all {name} (pseudonym {user}…): a robot, a test account or a "
            "placeholder? prepare.erasure_list drops users"
            for name, users in self._find_large_shares().items()
            for user, share in users.items()
        ]

    def find_bots(self) -> list[str]:
        """Return the first 16 digits of the pseudonyms of users with a large share of any amount, sorted."""
        return sorted({user for users in self._find_large_shares().values() for user in users})

    def _find_large_shares(self) -> dict[str, dict[str, float]]:
        """Return the share of each user with a large one, by amount and the first 16 digits of the pseudonym."""
        self._merge()
        found = {}
        for name, total in zip(AMOUNTS, self._all, strict=True):
            amounts = self._by_user[name]
            users = int((amounts > 0).sum()) + self._forgotten
            smallest = total * max(LARGE_SHARE, LARGE_RATIO / max(users, 1))
            large = amounts[(amounts > 0) & (amounts >= smallest)]
            found[name] = {f"{user:0{DIGITS}x}": amount / total for user, amount in large.sort_index().items()}
        return found


def _get_amounts(rows: pd.DataFrame) -> Float64Array:
    """Return the amounts of each row (rows, 3)."""
    weight, clicks, value = (
        _to_floats(rows, *column) for column in (("weight", 1.0), ("clicked", 0.0), ("value", 0.0))
    )
    return np.column_stack([weight, weight * clicks, value.clip(0)])


def _to_floats(rows: pd.DataFrame, name: str, default: float) -> Float64Array:
    column = rows[name] if name in rows else pd.Series(default, rows.index)
    return np.asarray(column.astype("float64").fillna(default), np.float64)


def _to_numbers(pseudonyms: pd.Series) -> UInt64Array:
    """Return the first 64 bits of each pseudonym."""
    return np.frombuffer(bytes.fromhex("".join(np.asarray(pseudonyms, object))), ">u8")[::2].astype(np.uint64)
