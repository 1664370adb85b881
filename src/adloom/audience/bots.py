"""Users who are probably robots: `prepare` names those with a large share of the events in summary.json."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

import ibis
import numpy as np

from adloom.arrays import IntegerArray
from adloom.data.user_shares import DIGITS

SEGMENT = "bots"
Members = tuple[list[str], IntegerArray]  # pseudonyms, and the numbers of their segments


def read_bots(table: Path) -> list[str]:
    """Return the first digits of the bots' pseudonyms in a prepared table."""
    summary = table / "summary.json"
    return json.loads(summary.read_text(encoding="utf-8")).get("bots", []) if summary.exists() else []


def drop_bots(events: ibis.Table, table: Path) -> ibis.Table:
    """Return the events of a table without those of bots."""
    bots = read_bots(table)
    return events.filter(~events.user_id.left(DIGITS).isin(bots)) if bots else events


def find_bots(events: ibis.Table, bots: list[str]) -> list[str]:
    """Return the pseudonyms of the bots among the events, ascending."""
    found = events.filter(events.user_id.left(DIGITS).isin(bots)).select("user_id").distinct().to_pyarrow()
    return sorted(found["user_id"].to_pylist())


def add_bots(members: Iterable[Members], bots: list[str], segment: int) -> Iterator[Members]:
    """Yield batches of ascending users and their segments, with ascending bots at their places in one segment."""
    for users, segments in members:
        count = bisect_left(bots, users[-1]) if users else 0
        places = [bisect_left(users, bot) for bot in bots[:count]]
        yield np.insert(np.array(users), places, bots[:count]).tolist(), np.insert(segments, places, segment)
        bots = bots[count:]
    yield bots, np.full(len(bots), segment)
