"""The table of known users."""

from pathlib import Path

import numpy as np
import pytest

from adloom.audience.segment_index import SegmentIndex
from adloom.errors import ArtifactError

IDS = ["f" * 32, "0" * 32, "a1" * 16]
NAMES = ("segment-1", "segment-2")


@pytest.fixture
def members() -> SegmentIndex:
    """Return three users in two segments."""
    return SegmentIndex.build(IDS, np.array([1, 0, 1]), NAMES)


def test_known_users_are_found_and_others_are_not(members: SegmentIndex, tmp_path: Path) -> None:
    members.save(tmp_path / "members.npz")
    loaded = SegmentIndex.load(tmp_path / "members.npz")
    assert loaded.pseudonyms.dtype == np.dtype("S32")
    assert loaded.segment.dtype == np.uint8
    assert loaded.find([*IDS, "b" * 32]) == ["segment-2", "segment-1", "segment-2", None]
    assert loaded.find([]) == []


@pytest.mark.parametrize("user", ["", "f", "f" * 31, "f" * 33, "f" * 64, "é" * 32, "\0" * 32, "F" * 32])
def test_an_invalid_pseudonym_has_no_segment(members: SegmentIndex, user: str) -> None:
    assert members.find([user]) == [None]


def test_the_order_of_users_does_not_matter(members: SegmentIndex, tmp_path: Path) -> None:
    members.save(tmp_path / "one.npz")
    SegmentIndex.build(IDS[::-1], np.array([1, 0, 1]), NAMES).save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_an_index_written_in_batches_has_the_same_bytes(members: SegmentIndex, tmp_path: Path) -> None:
    members.save(tmp_path / "whole.npz")
    users = sorted(IDS)
    batches = [(users[:1], np.array([0])), (list[str](), np.array([], int)), (users[1:], np.array([1, 1]))]
    SegmentIndex.write(tmp_path / "parts.npz", batches, 3, NAMES)
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with pytest.raises(ValueError, match="parts of 3 elements, expected 4"):
        SegmentIndex.write(tmp_path / "parts.npz", batches, 4, NAMES)


def test_a_mapped_index_answers_as_a_loaded_one(members: SegmentIndex, tmp_path: Path) -> None:
    members.save(tmp_path / "members.npz")
    mapped = SegmentIndex.map(tmp_path / "members.npz")
    assert mapped.find([*IDS, "b" * 32]) == ["segment-2", "segment-1", "segment-2", None]
    assert mapped.find_one(IDS[0]) == "segment-2"


def test_many_segments_need_two_bytes() -> None:
    names = tuple(f"segment-{i}" for i in range(1, 302))
    assert SegmentIndex.build(IDS, np.array([300, 0, 1]), names).find(IDS)[0] == "segment-301"


def test_another_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "members.npz", names=np.array(NAMES))
    with pytest.raises(ArtifactError, match="expected an npz with pseudonyms, segment, names"):
        SegmentIndex.load(tmp_path / "members.npz")
