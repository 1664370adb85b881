"""Users who are probably robots: `prepare` names those with a large share of the events in summary.json."""

import json
from pathlib import Path

import ibis
import numpy as np

from adloom.audience.segment_index import SegmentIndex
from adloom.data.user_shares import DIGITS

SEGMENT = "bots"


def read_bots(table: Path) -> list[str]:
    """Return the first digits of the bots' pseudonyms in a prepared table."""
    summary = table / "summary.json"
    return json.loads(summary.read_text(encoding="utf-8")).get("bots", []) if summary.exists() else []


def drop_bots(events: ibis.Table, table: Path) -> ibis.Table:
    """Return the events of a table without those of bots."""
    bots = read_bots(table)
    return events.filter(~events.user_id.left(DIGITS).isin(bots)) if bots else events


def add_bots(index: SegmentIndex, events: ibis.Table, bots: list[str]) -> SegmentIndex:
    """Return the index with the bots among the events in a segment of their own."""
    found = events.filter(events.user_id.left(DIGITS).isin(bots)).select("user_id").distinct().to_pyarrow()
    users = [*index.pseudonyms.astype("str"), *found["user_id"].to_pylist()]
    segment = np.append(index.segment, np.full(len(found), len(index.names))).astype(np.int64)
    return SegmentIndex.build(users, segment, (*index.names, SEGMENT))
