"""Shares of single users: robots, test accounts and placeholders have many times the rows of other users."""

import numpy as np
import pandas as pd

from adloom.arrays import Float64Array, UInt64Array

LARGE_SHARE = 0.1  # of all rows, clicks or value
LARGE_RATIO = 5  # times the mean user; in a table of few users each has a large share
MAX_USERS = 2**20  # with exact amounts; of more, those with the smallest amounts are forgotten
AMOUNTS = ("rows", "clicks", "value")


class UserSharesCheck:
    """Adds up rows, clicks and value by user, in bounded memory."""

    def __init__(self) -> None:
        self._all = np.zeros(len(AMOUNTS))
        self._by_user = _sum_by_user(np.empty(0, np.uint64), np.empty((0, len(AMOUNTS))))
        self._waiting: list[pd.DataFrame] = []

    def count(self, rows: pd.DataFrame) -> None:
        """Count valid rows, with pseudonyms."""
        amounts = _get_amounts(rows)
        self._all += amounts.sum(axis=0)
        known = rows["user_id"].notna().to_numpy()
        self._waiting.append(_sum_by_user(_to_numbers(rows.loc[known, "user_id"]), amounts[known]))
        if sum(map(len, self._waiting)) > MAX_USERS:
            self._merge()

    def _merge(self) -> None:
        merged = pd.concat([self._by_user, *self._waiting]).groupby(level=0).sum()
        if len(merged) > MAX_USERS:
            largest = [merged[name].nlargest(MAX_USERS // len(AMOUNTS)).index for name in AMOUNTS]
            merged = merged.loc[largest[0].union(largest[1]).union(largest[2])]
        self._by_user, self._waiting = merged, []

    def warnings(self) -> list[str]:
        """Return the users with a large share."""
        self._merge()
        notes = []
        for name, total in zip(AMOUNTS, self._all, strict=True):
            amounts = self._by_user[name]
            users, largest = int((amounts > 0).sum()), float(amounts.max()) if len(amounts) else 0.0
            if total > 0 and largest / total >= LARGE_SHARE and largest / total * users >= LARGE_RATIO:
                notes.append(
                    f"user_id: one of {users} users has {largest / total:.0%} of all {name} (pseudonym "
                    f"{amounts.idxmax():016x}…): a robot, a test account or a placeholder? prepare.erasure_list drops "
                    "users"
                )
        return notes


def _get_amounts(rows: pd.DataFrame) -> Float64Array:
    """Return the amounts of each row (rows, 3)."""
    zeros = pd.Series(0.0, rows.index)
    columns = [zeros + 1, rows.get("clicked", zeros), rows.get("value", zeros)]
    return np.column_stack([column.astype("float64").fillna(0).clip(lower=0) for column in columns])


def _to_numbers(pseudonyms: pd.Series) -> UInt64Array:
    """Return the first 64 bits of each pseudonym."""
    return np.frombuffer(bytes.fromhex("".join(pseudonyms)), ">u8")[::2].astype(np.uint64)


def _sum_by_user(users: UInt64Array, amounts: Float64Array) -> pd.DataFrame:
    return pd.DataFrame(amounts, users, AMOUNTS).groupby(level=0).sum()
