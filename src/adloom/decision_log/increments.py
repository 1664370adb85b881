"""Read the segments of a log that were not read before, as impressions and feedback of statistics."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adloom.data.context import PREFIX, SEPARATOR
from adloom.decision_log import segment_file
from adloom.decision_log.record import Decision, Feedback, decode
from adloom.storage.base import ObjectStore

DAYS = 3  # with segments that are read; a later one is left to the retraining
HOUR = 3_600_000_000  # µs
UNKNOWN_USER = -1


def find_new_segments(store: ObjectStore, project: str, now: datetime, known: Collection[str]) -> list[str]:
    """Return the names of finished segments of the last days that are not known, oldest day first."""
    names = (name for day in _list_days(now) for name in sorted(store.list(f"{project}/{day}")))
    return [name for name in names if segment_file.is_finished(name) and name not in known]


def keep_listed(names: Sequence[str], now: datetime) -> list[str]:
    """Return the names of segments in the days that are still listed."""
    days = set(_list_days(now))
    return [name for name in names if name.split("/")[-2] in days]


def _list_days(now: datetime) -> list[str]:
    return [f"{now - timedelta(days=age):%Y-%m-%d}" for age in reversed(range(DAYS))]


def read_segment(path: Path, held_out: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Return a segment's shown creatives, and its feedback, up to any damage.

    One of `held_out` users is held out. Lines that are no records are left out; `adloom log verify` reports them.
    """
    shown: list[tuple[Any, ...]] = []
    contexts: list[dict[str, str]] = []
    feedback: list[tuple[str, str, int, int]] = []
    try:
        for _, line in segment_file.read_lines(path):
            try:
                record = decode(line)
            except ValueError:
                continue
            if isinstance(record, Decision):
                rows = _list_rows(record, held_out)
                shown += rows
                contexts += [record.full_context] * len(rows)
            elif isinstance(record, Feedback):
                key = record.decision_id + record.creative_id
                feedback.append((key, record.kind, record.time // HOUR, record.time))
    except segment_file.DAMAGE_ERRORS:
        pass
    return _to_frame(shown, contexts), _number_keys(pd.DataFrame(feedback, columns=["key", "kind", "hour", "time"]))


def _list_rows(record: Decision, held_out: int) -> list[tuple[Any, ...]]:
    """Return a row per shown creative."""
    out, rows = int((record.user or record.decision_id)[:8], 16) % held_out == 0, []
    user = int(record.user[:15], 16) if record.user else UNKNOWN_USER  # 60 bits: almost no two users share a number
    for slot, (creative, propensity, candidates) in enumerate(record.list_slots()):
        place = (record.placement, record.position + slot, creative, SEPARATOR.join(sorted(candidates)))
        moment = record.time // HOUR, record.time, user
        rows.append((record.decision_id + creative, *moment, *place, propensity, out))
    return rows


def _to_frame(shown: Sequence[tuple[Any, ...]], contexts: Sequence[dict[str, str]]) -> pd.DataFrame:
    columns = ["key", "hour", "time", "user", "placement", "position", "creative_id", "candidates", "propensity"]
    rows = _number_keys(pd.DataFrame(shown, columns=[*columns, "held_out"]))
    for name in sorted({name for context in contexts for name in context}):
        rows[PREFIX + name] = pd.Series([context.get(name) for context in contexts], dtype="str")
    return rows


def _number_keys(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace keys, the ids of decision and creative, by 64-bit numbers."""
    hashes = pd.util.hash_array(rows["key"].to_numpy(object)).view(np.int64) if len(rows) else np.zeros(0, np.int64)
    return rows.assign(key=hashes)
