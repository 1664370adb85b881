"""The champion's segments of the users: fetched, read, and absent."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adloom.audience.assignment import SUPPRESSED
from adloom.audience.bots import SEGMENT
from adloom.audience.segment_index import SegmentIndex
from adloom.config.audience import Segment
from adloom.errors import ArtifactError
from adloom.registry.memory import MemoryRegistry
from adloom.stages.segment_identity import FOLDER, fetch_champion, load_past
from adloom.storage import manifest

USERS = [f"{number:032x}" for number in range(5)]
BATCHES = [pd.DataFrame({"user_id": USERS[:2]}), pd.DataFrame({"user_id": USERS[2:]})]


def write_champion(folder: Path) -> None:
    """Write the segments of an older version, in which a segment is suppressed and the last user is a bot."""
    with manifest.draft(folder, "segment", Segment(), {}) as draft:
        names = ("segment-1", "segment-2", SUPPRESSED, SEGMENT)
        SegmentIndex.build([*USERS[:3], USERS[4]], np.array([1, 0, 1, 3]), names).save(draft.path / "members.npz")
        draft.write_json("card.json", {"chosen": {"algorithm": "kmeans", "setting": 2.0}})
        draft.write_json("profiles.json", [{"segment": "segment-1", "users": 1}, {"segment": "segment-2", "users": 2}])


def test_users_have_the_champions_segments_and_new_ones_none(tmp_path: Path) -> None:
    write_champion(tmp_path / "champion")
    past = load_past(tmp_path / "champion", BATCHES)
    assert past is not None
    assert past.segment.tolist() == [1, 0, 1, -1, -1]
    assert past.champion.names == ("segment-1", "segment-2")
    assert past.clustering == ("kmeans", 2.0)
    assert (past.champion.users, past.champion.last_number, past.champion.migration) == (3, 2, None)


def test_small_segments_of_the_champion_are_not_described_again(tmp_path: Path) -> None:
    write_champion(tmp_path / "champion")
    past = load_past(tmp_path / "champion", BATCHES, smallest=2)
    assert past is not None
    assert [profile["segment"] for profile in past.champion.profiles] == ["segment-2"]


def test_without_a_champion_there_is_no_past(tmp_path: Path) -> None:
    assert load_past(tmp_path / "absent", BATCHES) is None
    fetch_champion(MemoryRegistry(tmp_path / "registry"), tmp_path)
    assert manifest.skip_reason(tmp_path / FOLDER) == "audience: no champion yet"
    assert load_past(tmp_path / FOLDER, BATCHES) is None


def test_a_damaged_champion_is_refused(tmp_path: Path) -> None:
    write_champion(tmp_path / "champion")
    (tmp_path / "champion" / "members.npz").write_bytes(b"")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        load_past(tmp_path / "champion", BATCHES)
