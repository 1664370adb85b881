"""Impressions and clicks of library creatives, counted from segments that are read once each."""

import threading
import time
from collections import Counter
from typing import NamedTuple

from adloom.decision_log import reading
from adloom.decision_log.record import Decision, Feedback, Line
from adloom.errors import DataError
from adloom.storage.base import Store

ID_PREFIX = "sha256:"  # of the ids that are counted
REREAD_SECONDS = 30.0  # between two searches for new segments
MAX_CLICKS = 1_000_000  # that are remembered to count each once


class CreativeOutcome(NamedTuple):
    """How often a creative was shown and clicked."""

    impressions: int
    clicks: int


class OutcomeCounter:
    """Counts of creatives in one log. Safe for many threads; one of them reads."""

    def __init__(self, log: str, store: Store) -> None:
        self._log, self._store = log, store
        self._shown: Counter[str] = Counter()
        self._clicked: Counter[str] = Counter()
        self._clicks: set[int] = set()  # hashes of decision and creative
        self._read: set[str] = set()  # segments
        self._next_search = 0.0
        self._reading = threading.Lock()
        self.is_complete = False  # whether all segments were read at the last search

    def count(self, creative_id: str) -> CreativeOutcome:
        """Return the counts of a creative in the segments that were read."""
        shown = self._shown[creative_id]
        return CreativeOutcome(shown, min(self._clicked[creative_id], shown))

    def update(self, seconds: float) -> None:
        """Read new segments, for about so many seconds; the next call continues. Raises AdloomError."""
        if time.monotonic() < self._next_search or not self._reading.acquire(blocking=False):
            return
        try:
            end = time.monotonic() + seconds
            self.is_complete = self._read_segments(end)
            if self.is_complete:
                self._next_search = time.monotonic() + REREAD_SECONDS
        finally:
            self._reading.release()

    def _read_segments(self, end: float) -> bool:
        try:
            segments = reading.find_segments([self._log], self._store)
        except DataError:  # no segment is finished yet
            return True
        for segment in segments:
            key = segment.key
            if key not in self._read:
                if time.monotonic() > end:
                    return False
                for record in segment.read_records(self._store, ID_PREFIX.encode()):
                    self._add(record)
                self._read.add(key)
        return True

    def _add(self, record: Line) -> None:
        if isinstance(record, Decision):
            self._shown.update(creative for creative in record.chosen if creative.startswith(ID_PREFIX))
        elif isinstance(record, Feedback) and record.kind == "click" and record.creative_id.startswith(ID_PREFIX):
            self._add_click(record.creative_id, hash((record.decision_id, record.creative_id)))

    def _add_click(self, creative_id: str, click: int) -> None:
        if click not in self._clicks:
            if len(self._clicks) >= MAX_CLICKS:
                self._clicks.clear()
            self._clicks.add(click)
            self._clicked[creative_id] += 1
