"""Segments of killed processes are recovered, and finished ones compressed."""

import os
import signal
from pathlib import Path

import pytest
from tests.support.decision_logs import read_log, select_records, wait_until
from tests.support.log_processes import FAST, NEVER, count_gaps, recover_log, start_log_process

from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.segment_file import LogDirectory, recover
from adloom.decision_log.verify import verify
from adloom.storage.local import FolderStore


@pytest.mark.slow
def test_the_next_start_records_how_much_a_killed_process_lost(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        written = int(process.do("fill"))
        assert process.do("take 7") == "7"
        process.end(signal.SIGKILL)
    recover_log(tmp_path)
    assert len(select_records(read_log(tmp_path))) == written
    assert count_gaps(tmp_path) == {"not written": 7}
    assert [*(tmp_path / "open").iterdir()] == []
    result = verify([str(tmp_path)], FolderStore())
    assert result.counts == {"gap": 7}


def test_a_process_killed_before_it_wrote_anything_is_counted_too(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        process.do("take 3")
        process.end(signal.SIGKILL)
    assert recover(LogDirectory(tmp_path)) == 1
    assert count_gaps(tmp_path) == {"not written": 3}
    assert recover(LogDirectory(tmp_path)) == 0


@pytest.mark.slow
def test_a_process_killed_at_any_time_is_accounted_for(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST) as process:
        accepted = sum(int(process.do("take 50")) for _ in range(40))
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    lost = count_gaps(tmp_path).get("not written", 0)
    assert len(select_records(read_log(tmp_path))) + lost == accepted == 2000
    assert verify([str(tmp_path)], FolderStore()).counts == ({"gap": lost} if lost else {})


def test_a_torn_last_line_is_cut_off_and_counted_as_lost(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [path] = (tmp_path / "open").glob("*.jsonl")
    os.truncate(path, path.stat().st_size - 100)
    recover(LogDirectory(tmp_path))
    assert len(select_records(read_log(tmp_path))) == written - 1
    assert count_gaps(tmp_path) == {"not written": 1}


@pytest.mark.slow
def test_a_segment_whose_header_was_lost_holds_up_no_other_and_is_kept(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        process.do("fill")
        process.end(signal.SIGKILL)
    (tmp_path / "open" / f"{'f' * 32}-000000.jsonl").write_bytes(bytes(100) + b"\n" + bytes(100))
    assert recover(LogDirectory(tmp_path)) == 2
    assert len([*tmp_path.glob("damaged/*/*.jsonl.gz")]) == len([*tmp_path.glob("shop/*/*.jsonl.gz")]) == 1
    assert verify([str(tmp_path)], FolderStore()).counts == {"line": 1, "frame": 1}
    assert [*(tmp_path / "open").iterdir()] == []


def test_a_process_that_cannot_be_recovered_holds_up_no_other(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        process.do("fill")
        process.end(signal.SIGKILL)
    (tmp_path / "open" / f"{'0' * 32}{ProcessCounters.SUFFIX}").mkdir()  # comes first, and is no file
    with pytest.raises(IsADirectoryError):
        recover(LogDirectory(tmp_path))
    assert len([*tmp_path.glob("shop/*/*.jsonl.gz")]) == 1
    assert [path.name for path in (tmp_path / "open").iterdir()] == [f"{'0' * 32}{ProcessCounters.SUFFIX}"]


def test_written_records_survive_a_kill(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST) as process:
        process.do("take 100")
        wait_until(lambda: process.statistics()["write_lag"] == 0)
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    assert len(select_records(read_log(tmp_path))) == 100
    assert count_gaps(tmp_path) == {}


@pytest.mark.slow
def test_without_disk_space_a_segment_is_finished_uncompressed(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [path] = (tmp_path / "open").glob("*.jsonl")
    with start_log_process(tmp_path / "other", NEVER) as process:
        process.do("limit 1000")
        finished = Path(process.do(f"finish {path}"))
    assert finished.name.endswith(".jsonl")
    assert len(select_records(read_log(finished.parents[2]))) == written
