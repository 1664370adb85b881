"""Finished segments are listed once."""

import gzip
from pathlib import Path

import pytest
from tests.support.decision_logs import LATER, NOON, PROCESS, decision, frame_segment, verify_log, write_segment

from adloom.decision_log.reading import START_BYTES, SegmentRef
from adloom.decision_log.record import encode
from adloom.decision_log.verify import verify
from adloom.errors import DataError
from adloom.storage.local import FolderStore


def test_copies_are_one_segment_and_open_segments_are_skipped(tmp_path: Path) -> None:
    for location in ("here", "there"):
        write_segment(tmp_path / location, frame_segment([decision(0)]))
    (tmp_path / "here" / "open").mkdir()
    (tmp_path / "here" / "open" / f"{PROCESS}-000001.jsonl").write_bytes(encode(decision(1))[:40])
    findings = verify([str(tmp_path / "here"), str(tmp_path / "there")], FolderStore(), at=LATER)
    assert (findings.segments, findings.decisions, findings.issue_count) == (1, 1, 0)


def test_a_single_segment_is_a_log_whatever_its_name(tmp_path: Path) -> None:
    path = write_segment(tmp_path, frame_segment([decision(0)]))
    plain = tmp_path / "one.jsonl"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    assert verify([str(plain)], FolderStore(), at=LATER).decisions == 1


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl"])
def test_the_opening_time_is_in_the_first_bytes(suffix: str, tmp_path: Path) -> None:
    packed = write_segment(tmp_path, frame_segment([decision(number) for number in range(2000)])).read_bytes()
    path = tmp_path / f"start{suffix}"
    for content, opened in ((packed, NOON), (b"damaged", 0), (b"", 0)):
        path.write_bytes(content if suffix.endswith(".gz") or not opened else gzip.decompress(content))
        assert SegmentRef(path.name, str(path), None).read_opening_time(FolderStore()) == opened
    assert len(packed) > 2 * START_BYTES
    path.unlink()
    assert SegmentRef(path.name, str(path), None).read_opening_time(FolderStore()) == 0


def test_a_log_without_segments_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "note.txt").touch()
    with pytest.raises(DataError, match="no finished segment of a decision log"):
        verify_log(tmp_path)
