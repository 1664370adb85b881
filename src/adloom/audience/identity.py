"""
Keep the ids of segments when they are made again: match the new segments to the champion's by shared users.

The assignment that keeps most users in their segment is optimal (Kuhn 1955). A matched segment takes the champion's id
when it has most users of the old segment, or most of its own users come from it. Other segments get new numbers, and
the number of a segment that is gone is never used again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from adloom.arrays import Int64Array, IntegerArray
from adloom.audience.segmenter import Segmenter

MAJORITY = 0.5


@dataclass(frozen=True)
class SegmentChange:
    """The history of one segment since the champion."""

    segment: str
    state: Literal["kept", "split", "merged", "new", "gone"]
    sources: tuple[str, ...]  # the champion's segments that most of its users, or that mostly, came from


@dataclass(frozen=True)
class Flow:
    """Users that went from a segment of the champion to a new one."""

    old: str
    new: str
    users: int
    share: float  # of the old segment's shared users


@dataclass(frozen=True)
class Migration:
    """The changes since the champion, for migration.json."""

    champion: str | None  # digest
    shared: int  # users in both
    moved: int  # of those, with another id than before
    last_number: int  # the highest number that any segment ever had
    changes: tuple[SegmentChange, ...] = ()
    flows: tuple[Flow, ...] = ()
    previous: tuple[Mapping[str, Any], ...] = ()  # the champion's profiles

    def to_json(self) -> dict[str, Any]:
        """Return the content of migration.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Migration":
        """Read the content of migration.json."""
        changes = tuple(
            SegmentChange(**change | {"sources": tuple(change["sources"])}) for change in content["changes"]
        )
        flows = tuple(Flow(**flow) for flow in content["flows"])
        return cls(**{**content, "changes": changes, "flows": flows, "previous": tuple(content["previous"])})


@dataclass(frozen=True)
class ChampionSegments:
    """The segments of the champion."""

    digest: str
    names: tuple[str, ...]
    users: int  # of all, shared or not
    profiles: tuple[Mapping[str, Any], ...]
    migration: Migration | None  # None for older versions

    @property
    def last_number(self) -> int:
        """The highest number that any segment ever had."""
        return max(len(self.names), self.migration.last_number if self.migration else 0)


def start_migration(names: Sequence[str]) -> Migration:
    """Return the migration of the first segments."""
    return Migration(None, 0, 0, _find_last_number(names), tuple(SegmentChange(name, "new", ()) for name in names))


def name_segments(segmenter: Segmenter, old: IntegerArray, new: IntegerArray, champion: ChampionSegments) -> Segmenter:
    """Return the segmenter with stable ids; old and new (shared users,) index the champion's names and its own."""
    counts = _count_users(old, new, len(champion.names), len(segmenter.names))
    inherited = {
        new: champion.names[old]
        for old, new in zip(*linear_sum_assignment(counts, maximize=True), strict=True)
        if _is_majority(counts[old, new], counts[old].sum()) or _is_majority(counts[old, new], counts[:, new].sum())
    }
    fresh = [new for new in range(len(segmenter.names)) if new not in inherited]
    numbered = {new: f"segment-{number}" for number, new in enumerate(fresh, champion.last_number + 1)}
    names = tuple((inherited | numbered)[new] for new in range(len(segmenter.names)))
    noise = None if segmenter.noise is None else names[segmenter.names.index(segmenter.noise)]
    return replace(segmenter, names=names, noise=noise)


def trace_migration(
    names: Sequence[str], old: IntegerArray, new: IntegerArray, champion: ChampionSegments, smallest: int | None = 1
) -> Migration:
    """
    Return the changes since the champion; old and new (shared users,) are indices into its names and into `names`.

    Flows of fewer users than `smallest` are left out, all of them for None.
    """
    counts = _count_users(old, new, len(champion.names), len(names))
    changes = [_describe_change(counts, new, names, champion.names) for new in range(len(names))]
    gone = [SegmentChange(name, "gone", ()) for name in champion.names if name not in names]
    flows = [
        Flow(champion.names[old], names[new], int(counts[old, new]), round(counts[old, new] / counts[old].sum(), 4))
        for old, new in np.argwhere(counts)
    ]
    moved = sum(flow.users for flow in flows if flow.old != flow.new)
    shown = tuple(flow for flow in flows if smallest is not None and flow.users >= smallest)
    last = max(champion.last_number, _find_last_number(names))
    return Migration(champion.digest, len(new), moved, last, (*changes, *gone), shown, champion.profiles)


def is_same(old: IntegerArray, new: IntegerArray, champion: ChampionSegments, users: int) -> bool:
    """Return whether the champion has the same users in the same segments, whatever their names."""
    counts = _count_users(old, new, len(champion.names), int(new.max(initial=0)) + 1)
    pairs, segments = np.count_nonzero(counts), np.count_nonzero(counts.any(axis=0))
    return len(new) == users == champion.users and pairs == segments == len(champion.names)


def measure_churn(migration: Mapping[str, Any]) -> float:
    """Return the share of users in both with another id than before; `migration` is the content of migration.json."""
    return float(migration["moved"] / max(migration["shared"], 1))


def _count_users(old: IntegerArray, new: IntegerArray, olds: int, news: int) -> Int64Array:
    """Return the users of each pair of segments (olds, news)."""
    counts = np.zeros((olds, news), np.int64)
    np.add.at(counts, (old, new), 1)
    return counts


def _find_last_number(names: Sequence[str]) -> int:
    return max(int(name.rpartition("-")[2]) for name in names)


def _describe_change(counts: Int64Array, new: int, names: Sequence[str], old_names: Sequence[str]) -> SegmentChange:
    """Return the state of a new segment: where its users came from, and where else the old segments went."""
    parent = int(counts[:, new].argmax())
    absorbed = [old for old in range(len(old_names)) if _is_majority(counts[old, new], counts[old].sum())]
    siblings = [n for n in range(len(names)) if _is_majority(counts[parent, n], counts[:, n].sum())]
    if len(absorbed) > 1:
        return SegmentChange(names[new], "merged", tuple(old_names[old] for old in absorbed))
    if new in siblings and len(siblings) > 1:
        return SegmentChange(names[new], "split", (old_names[parent],))
    if names[new] in old_names:
        return SegmentChange(names[new], "kept", (names[new],))
    return SegmentChange(names[new], "new", ())


def _is_majority(part: int, whole: int) -> bool:
    return part > MAJORITY * whole
