"""Counters survive their process, and their lock says whether it lives."""

import signal
from pathlib import Path

import pytest
from tests.support.decision_logs import read_log, select_records
from tests.support.log_processes import NEVER, count_gaps, start_log_process

from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.segment_file import LogDirectory, recover


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 60])
def test_records_survive_a_power_failure_that_lost_the_counters(tmp_path: Path, kept: int) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [tally] = (tmp_path / "open").glob(f"*{ProcessCounters.SUFFIX}")
    tally.unlink() if kept else tally.write_bytes(b"")
    recover(LogDirectory(tmp_path))
    assert len(select_records(read_log(tmp_path))) == written
    assert count_gaps(tmp_path) == {}
    assert [*(tmp_path / "open").iterdir()] == []


@pytest.mark.slow
def test_segments_of_a_living_process_are_not_recovered(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        process.do("fill")
        assert recover(LogDirectory(tmp_path)) == 0
        assert len([*(tmp_path / "open").iterdir()]) == 2
        process.end(signal.SIGTERM)
