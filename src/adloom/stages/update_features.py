"""
Keep the features of users up to date by new events alone.

The state is a folder of layers. Each is an artifact with the totals per user of some events; those of all layers add
up. Many layers are merged into one, which takes the place of those before it.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import ibis
import pandas as pd

from adloom.audience.events import count_events, find_period
from adloom.audience.features import build_features
from adloom.audience.user_totals import UserTotals, correct_gaps, merge_totals, sum_events
from adloom.config.audience import Segment
from adloom.data.context import REFUND
from adloom.errors import ConfigError, DataError
from adloom.storage import manifest, parquet
from adloom.storage.locks import exclusive_lock
from adloom.storage.table_scan import scan_shards, scan_table, write_rows

STAGE = "update-features"
MAX_LAYERS = 16  # more are merged
TABLES = ("users", "items", "purchases")


@dataclass(frozen=True)
class Layer:
    """An artifact of totals."""

    path: Path
    kinds: str  # values of `event` that count
    as_of: pd.Timestamp  # all its events are before
    events: tuple[str, ...]  # digests of the tables that it counts
    merged: bool  # whether it takes the place of all layers before it

    @classmethod
    def open(cls, path: Path) -> "Layer":
        """Read what a layer counts. Raises ArtifactError when a file of it changed."""
        facts = manifest.verify(path).facts
        events = tuple(facts["events"].split())
        return cls(path, facts["kinds"], pd.Timestamp(facts["as_of"]), events, facts["merged"] == "true")


@dataclass(frozen=True)
class State:
    """A folder of layers."""

    folder: Path
    params: Segment
    layers: tuple[Layer, ...]  # those that count: from the last merged one on

    @classmethod
    def open(cls, folder: Path, params: Segment) -> "State":
        """Open a state, or begin one. Raises ConfigError when it counts other kinds of events than params."""
        if (folder / manifest.MANIFEST).exists():
            raise ConfigError(f"{folder}: is an artifact, expected the folder of a state; name another one")
        layers = [Layer.open(path) for path in sorted(folder.glob("layer-*"))]
        for layer in layers:
            if layer.kinds != _name_kinds(params):
                raise ConfigError(
                    f"{folder}: counts the events {layer.kinds}, expected {_name_kinds(params)} as in params; begin "
                    "another folder with all events"
                )
        first = max((i for i, layer in enumerate(layers) if layer.merged), default=0)
        return cls(folder, params, tuple(layers[first:]))

    @property
    def as_of(self) -> pd.Timestamp | None:
        """The date before which all counted events are."""
        return max((layer.as_of for layer in self.layers), default=None)

    def find_new(self, table: Path, target: Path | None) -> str | None:
        """
        Return the digest of a table of events, None when it is counted already.

        Then the features may still be missing, after an interruption; without a target, raises DataError.
        """
        digest = manifest.digest(table)
        if not any(digest in layer.events for layer in self.layers):
            return digest
        if target is None:
            raise DataError(f"{table}: counted in {self.folder} already; give only events that came since")
        return None

    def read(self) -> UserTotals:
        """Return the totals of all layers."""
        folders = [layer.path for layer in self.layers]
        (known,) = scan_shards({"known": folders}, TABLES, self.params.memory_gb)
        return merge_totals(UserTotals(*known))

    def add(self, events: ibis.Table, as_of: pd.Timestamp, digest: str) -> "State":
        """Count events in a new layer; return the state with it."""
        new = sum_events(events, as_of, self.params.purchase, self.params.exposure)
        return replace(self, layers=(*self.layers, self._write(new, as_of, (digest,), merged=False)))

    def merge(self) -> "State":
        """Merge the layers when they are many; return the state."""
        if len(self.layers) <= MAX_LAYERS or self.as_of is None:
            return self
        events = tuple(digest for layer in self.layers for digest in layer.events)
        merged = self._write(self.read(), self.as_of, events, merged=True)
        for layer in self.layers:
            shutil.rmtree(layer.path)
        return replace(self, layers=(merged,))

    def _write(self, totals: UserTotals, as_of: pd.Timestamp, events: tuple[str, ...], *, merged: bool) -> Layer:
        number = int(self.layers[-1].path.name.removeprefix("layer-")) + 1 if self.layers else 0
        path = self.folder / f"layer-{number:05}"
        with manifest.draft(path, STAGE, self.params, {}) as draft:
            for name in TABLES:
                write_rows(getattr(totals, name), draft.path, name)
            if self.layers and not merged:
                self._correct(draft.path)
            draft.facts |= {"kinds": _name_kinds(self.params), "as_of": as_of.isoformat(), "events": " ".join(events)}
            draft.facts["merged"] = str(merged).lower()
        return Layer(path, _name_kinds(self.params), as_of, events, merged)

    def _correct(self, new: Path) -> None:
        """Add the shard that makes the totals in a folder add up with those of the layers."""
        groups = {"known": [layer.path for layer in self.layers], "new": [new]}
        known, more = scan_shards(groups, TABLES, self.params.memory_gb)
        write_rows(correct_gaps(UserTotals(*known), UserTotals(*more)), new, "users", first=1)


def _name_kinds(params: Segment) -> str:
    return ", ".join([params.purchase, REFUND, *([params.exposure] if params.exposure else [])])


def update_features(
    table: Path, folder: Path, target: Path | None, params: Segment, as_of: pd.Timestamp | None = None
) -> dict[str, int]:
    """
    Count a prepared table of new events in the state in a folder; write the features of all users to the target.

    `as_of` is a midnight (UTC), by default that after the last event counted. A table that is counted already is not
    counted again. Raises DataError for it without a target, and for a table that has later events or is not one of
    events; ConfigError for a date before that of the state.
    """
    _require_events(table)
    with exclusive_lock(folder / ".lock", f"{folder}: another `adloom update-features` updates it; wait or stop it"):
        return _update(table, State.open(folder, params), target, params, as_of)


def _update(
    table: Path, state: State, target: Path | None, params: Segment, as_of: pd.Timestamp | None
) -> dict[str, int]:
    digest = state.find_new(table, target)
    events = scan_table(table, memory_gb=params.memory_gb)
    count = count_events(events) if digest else 0
    as_of = _choose_as_of(table, state, find_period(events)[1] if count else None, as_of)
    if digest and count:
        state = state.add(events, as_of, digest).merge()
    if target:
        with manifest.draft(target, STAGE, params, {}) as draft:
            write_rows(build_features(state.read(), as_of).order_by("user_id"), draft.path)
            draft.facts["as_of"] = as_of.isoformat()
    return {"events": count, "layers": len(state.layers)}


def _require_events(table: Path) -> None:
    """Raise DataError when a table has no events."""
    if skipped := manifest.verify(table).skipped:
        raise DataError(f"{table}: skipped: {skipped}; expected a prepared table of events")
    columns = parquet.list_columns(table) if parquet.list_shards(table) else []
    if missing := [name for name in ("user_id", "event", "timestamp") if name not in columns]:
        raise DataError(
            f"{table}: no column {', '.join(missing)}; expected a prepared table of events, as data/dataset/events"
        )


def _choose_as_of(table: Path, state: State, last: pd.Timestamp | None, as_of: pd.Timestamp | None) -> pd.Timestamp:
    """Return `as_of`, by default the last midnight of events and state."""
    ends = [end for end in (state.as_of, last) if end is not None]
    if not ends:
        raise DataError(f"{table}: 0 events, and {state.folder} has none; give the first events")
    chosen = as_of or max(ends)
    if state.as_of is not None and chosen < state.as_of:
        raise ConfigError(
            f"as_of {chosen:%Y-%m-%d}: {state.folder} counts events to {state.as_of:%Y-%m-%d}; give that or a later "
            "date"
        )
    if chosen < max(ends):
        raise DataError(
            f"{table}: events to {max(ends):%Y-%m-%d}, expected before as_of {chosen:%Y-%m-%d}; give a later date"
        )
    return chosen
