"""Decisions and clicks of known users, in the order of users and times: the most clicks, bursts, and arms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Int64Array

RECORD = np.dtype([("high", ">u8"), ("low", ">u8"), ("time", ">i8"), ("click", "?"), ("arm", ">i4")])
MINUTE = 60_000_000  # µs


@dataclass(frozen=True)
class UserRecords:
    """The records (records,) of some users, with all records of each."""

    name: AnyArray  # (users, 2) halves of the pseudonyms
    user: Int64Array  # (records,) index into name, ascending
    time: Int64Array  # (records,) µs, ascending within a user
    click: BoolArray  # (records,) whether it is a click, else a decision
    arm: Int64Array  # (records,) number of the decision's arm, 0 without an experiment

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Sort records of RECORD."""
        rows = np.frombuffer(packed, RECORD)
        rows = rows[np.lexsort((rows["time"], rows["low"], rows["high"]))]
        halves = np.column_stack([rows["high"], rows["low"]]).astype(np.uint64)
        is_first = np.ones(len(rows), bool)
        is_first[1:] = (halves[1:] != halves[:-1]).any(1)
        return cls(
            halves[is_first],
            np.cumsum(is_first) - 1,
            rows["time"].astype(np.int64),
            rows["click"].astype(bool),
            rows["arm"].astype(np.int64),
        )

    def format_name(self, user: int) -> str:
        """Return a user's pseudonym."""
        high, low = self.name[user].tolist()
        return f"{high:016x}{low:016x}"

    def count_clicks(self) -> Int64Array:
        """Return the clicks of each user (users,)."""
        return np.bincount(self.user[self.click], minlength=len(self.name))

    def find_bursts(self, click: bool, limit: int) -> Iterator[tuple[str, int]]:
        """Yield each user with more than `limit` clicks or decisions within a minute, and the most of them."""
        is_kind = self.click == click
        user, time = self.user[is_kind], self.time[is_kind]
        later = slice(limit, None)
        earlier = slice(len(user[later]))
        is_dense = (user[later] == user[earlier]) & (time[later] - time[earlier] < MINUTE)
        for index in np.unique(user[later][is_dense]).tolist():
            times = time[user == index]
            ends = np.searchsorted(times, times + MINUTE)
            yield self.format_name(index), int((ends - np.arange(len(times))).max())

    def list_arms(self) -> Int64Array:
        """Return the distinct pairs of a user and the number of an arm (pairs, 2), ascending."""
        pairs = np.column_stack([self.user, self.arm])[self.arm > 0]
        return np.asarray(np.unique(pairs, axis=0))
