"""Item sequences of users, read from a table of events. Serving imports this module, so pandas is imported late."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from adloom.arrays import BoolArray, Int32Array, Int64Array, StrArray
from adloom.data.context import REFUND

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    from scipy.sparse import csr_matrix

UNKNOWN = -1  # number of an item outside the list


@dataclass(frozen=True)
class Interactions:
    """The events of users with items, by user and then by time."""

    users: StrArray  # (users,), ascending
    items: StrArray  # (items,), ascending
    starts: Int64Array  # (users + 1,): the first event of each user, and the end
    item: Int32Array  # (events,): number of the item, or UNKNOWN
    time: Int64Array  # (events,): µs since 1970

    @property
    def user(self) -> Int64Array:
        """The number of each event's user (events,)."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.starts))

    def keep(self, kept: BoolArray) -> Self:
        """Return some events (events,), of the same users and items."""
        counts = np.bincount(self.user[kept], minlength=len(self.users))
        return replace(self, starts=np.append(0, np.cumsum(counts)), item=self.item[kept], time=self.time[kept])

    def find_time(self, share: float) -> int:
        """Return the time before which about this share of the events happened."""
        return int(np.sort(self.time)[int(share * len(self.time))])

    def sample(self, users: int) -> Self:
        """Return the events of at most this many users, evenly spaced; pseudonyms are in random order."""
        chosen = pick_evenly(np.arange(len(self.users)), users)
        kept = np.isin(self.user, chosen)
        starts = np.append(0, np.cumsum(np.diff(self.starts)[chosen]))
        return replace(self, users=self.users[chosen], starts=starts, item=self.item[kept], time=self.time[kept])

    def to_matrix(self) -> "csr_matrix":
        """Return 1 where a user has an item (users, items)."""
        from scipy.sparse import csr_matrix

        known = self.keep(self.item != UNKNOWN)
        cells = (np.ones(len(known.item), np.float32), (known.user, known.item))
        matrix = csr_matrix(cells, shape=(len(self.users), len(self.items)))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix


def pick_evenly(values: Int64Array, count: int) -> Int64Array:
    """Return at most `count` of the values, evenly spaced."""
    if len(values) <= count:
        return values
    chosen: Int64Array = values[np.linspace(0, len(values) - 1, count).astype(np.int64)]
    return chosen


def read_interactions(events: "ibis.Table", items: StrArray | None = None, limit: int | None = None) -> Interactions:
    """
    Return the events that name an item, without refunds.

    `items` are the known ones, all by default. `limit` keeps the most frequent of them, ties by name. Events at one
    time are in random order: an order by name would repeat, and a model would learn it.
    """
    import pandas as pd
    from pandas.util import hash_array

    rows = events.filter(events.item_id.notnull(), events.event != REFUND)
    frame = rows.select("user_id", "item_id", "timestamp").to_pyarrow().to_pandas()
    frame["tie"] = hash_array((frame["user_id"] + frame["item_id"]).to_numpy(object))
    frame = frame.sort_values(["user_id", "timestamp", "tie"], ignore_index=True)
    user, users = pd.factorize(frame["user_id"])
    if items is None:
        items = find_items(frame["item_id"], limit)
    number = pd.Index(items).get_indexer(pd.Index(frame["item_id"]))
    return Interactions(
        users.to_numpy().astype(str),
        items,
        np.append(0, np.cumsum(np.bincount(user, minlength=len(users)))),
        number.astype(np.int32),
        frame["timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64),
    )


def find_items(names: "pd.Series", limit: int | None) -> StrArray:
    """Return the most frequent names (items,), ascending; ties by name."""
    counts = names.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return np.sort(counts.index[:limit].to_numpy().astype(str))
