"""Keep the ids of the champion's segments when the stage `segment` makes them again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.audience.assignment import SUPPRESSED
from adloom.config.audience import Segment
from adloom.registry import champion_copy, pairing
from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.arrays import IntegerArray
    from adloom.audience.identity import ChampionSegments, Migration
    from adloom.audience.segmenter import Segmenter
    from adloom.registry.base import Registry

MODEL, FOLDER = Path("models/audience"), Path("models/audience.champion")


@dataclass(frozen=True)
class Past:
    """The champion and its segments of the users."""

    folder: Path
    champion: "ChampionSegments"
    segment: "IntegerArray"  # (users,) index into the champion's names, -1 for an unknown user
    clustering: tuple[str, float] | None  # algorithm and setting; None for older versions


def fetch_champion(registry: "Registry", root: Path = Path()) -> None:
    """Fetch the champion audience below a folder for the next `segment`, or a skipped artifact without one."""
    digest = champion_copy.find_champion_digest(registry, pairing.AUDIENCE)
    champion_copy.copy_version(registry, pairing.AUDIENCE, digest, root / FOLDER)


def is_new_champion(registry: "Registry") -> bool:
    """Return whether the audience in MODEL has become the champion since the last fetch."""
    digest = champion_copy.find_champion_digest(registry, pairing.AUDIENCE)
    return manifest.is_complete(MODEL, digest) and not manifest.is_complete(FOLDER, digest)


def load_past(folder: Path, users: "Iterable[pd.DataFrame]", smallest: int = 1) -> Past | None:
    """
    Return the champion's segments of batches of users, None without a champion. Raises ArtifactError for a damaged one.

    Profiles of the champion about fewer users than `smallest` are left out: it may have had a lower limit.
    """
    import numpy as np

    from adloom.audience.bots import SEGMENT as BOTS
    from adloom.audience.identity import ChampionSegments, Migration
    from adloom.audience.segment_index import SegmentIndex

    if not folder.exists() or manifest.skip_reason(folder):
        return None
    manifest.verify(folder)
    index = SegmentIndex.map(folder / "members.npz")
    path = folder / "migration.json"  # absent from older versions
    migration = Migration.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    profiles = json.loads((folder / "profiles.json").read_text(encoding="utf-8"))
    chosen = json.loads((folder / "card.json").read_text(encoding="utf-8")).get("chosen")
    large = tuple(profile for profile in profiles if profile["users"] >= smallest)
    names = tuple(name for name in index.names if name not in (SUPPRESSED, BOTS))  # these are the last ones
    segment = np.concatenate([index.find_indices(batch["user_id"]).astype(np.int32) for batch in users])
    return Past(
        folder,
        ChampionSegments(manifest.digest(folder), names, int((index.segment < len(names)).sum()), large, migration),
        np.where(segment < len(names), segment, -1),
        (chosen["algorithm"], chosen["setting"]) if chosen else None,
    )


def keep_names(segmenter: "Segmenter", segment: "IntegerArray", past: Past | None) -> "Segmenter":
    """Return the segmenter with the champion's ids; segment (users,) is an index into its names."""
    from adloom.audience.identity import name_segments

    if past is None:
        return segmenter
    is_shared = past.segment >= 0
    return name_segments(segmenter, past.segment[is_shared], segment[is_shared], past.champion)


def trace_changes(
    segmenter: "Segmenter", segment: "IntegerArray", past: Past | None, events: Path, params: Segment
) -> "Migration":
    """
    Return the changes since the champion; segment (users,) is an index into the names of a segmenter with its ids.

    A champion that is this very model is its own past, so its record of the changes stays: the bytes are equal again.
    """
    import numpy as np

    from adloom.audience.identity import is_same, start_migration, trace_migration

    names = tuple(name for name in segmenter.names if name != SUPPRESSED)
    if past is None:
        return start_migration(names)
    is_published = segment < len(names)  # the suppressed segment is the last one
    is_shared = (past.segment >= 0) & is_published
    old, new = past.segment[is_shared], segment[is_shared]
    made, champion = manifest.read(past.folder), past.champion
    is_remade = (made.params, made.inputs.get("table")) == (params.digest(), manifest.digest(events))
    if is_remade and champion.migration and is_same(old, new, champion, int(np.sum(is_published))):
        return champion.migration
    smallest = params.privacy.smallest if params.privacy.epsilon is None else None
    return trace_migration(names, old, new, champion, smallest)
