"""Processes that end badly: killed, told to end, out of disk. What was lost is counted, to the record."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.decision_logs import PATIENCE, decision, read, until
from tests.unit.decision_log.test_log import LIMITS, records

from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.log import FLUSH_BYTES, DecisionLog
from adloom.decision_log.record import Gap, encode
from adloom.decision_log.segment_file import LogDirectory, recover
from adloom.decision_log.verify import verify
from adloom.storage.local import FolderStore

ROOT = Path(__file__).parents[3]
SLEEPS, BRISK = 3600.0, 0.01  # seconds between two writes


class Appender:
    """A process that appends as it is told."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def do(self, command: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def statistics(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.do("statistics"))
        return told

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=PATIENCE)


@contextmanager
def appending(folder: Path, flush: float, limit: int = -1) -> Iterator[Appender]:
    program = [sys.executable, str(ROOT / "tests/support/log_appender.py"), str(folder), str(flush), str(limit)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True, env=environment) as process:
        try:
            yield Appender(process)
        finally:
            process.kill()


def gaps(folder: Path) -> dict[str, int]:
    found: Counter[str] = Counter()
    for line in read(folder):
        if isinstance(line, Gap):
            found[line.reason] += line.records
    return dict(found)


def start_again(folder: Path) -> None:
    log = DecisionLog(folder, "shop", LIMITS)
    until(lambda: not [*folder.glob("open/*.jsonl")])  # recovered
    log.close()


def test_a_killed_process_loses_what_it_had_not_written_and_the_next_start_says_how_much(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        written = int(process.do("fill"))
        assert process.do("take 7") == "7"
        process.end(signal.SIGKILL)
    start_again(tmp_path)
    assert len(records(read(tmp_path))) == written
    assert gaps(tmp_path) == {"not written": 7}
    assert [*(tmp_path / "open").iterdir()] == []
    found = verify([str(tmp_path)], FolderStore())
    assert found.counts == {"gap": 7}


def test_a_process_killed_before_it_wrote_anything_is_counted_too(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        process.do("take 3")
        process.end(signal.SIGKILL)
    assert recover(LogDirectory(tmp_path)) == 1
    assert gaps(tmp_path) == {"not written": 3}
    assert recover(LogDirectory(tmp_path)) == 0


def test_a_process_killed_at_any_time_is_accounted_for(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK) as process:
        taken = sum(int(process.do("take 50")) for _ in range(40))
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    lost = gaps(tmp_path).get("not written", 0)
    assert len(records(read(tmp_path))) + lost == taken == 2000
    assert verify([str(tmp_path)], FolderStore()).counts == ({"gap": lost} if lost else {})


def test_a_torn_last_line_is_cut_off_and_counted_as_lost(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [path] = (tmp_path / "open").glob("*.jsonl")
    os.truncate(path, path.stat().st_size - 100)
    recover(LogDirectory(tmp_path))
    assert len(records(read(tmp_path))) == written - 1
    assert gaps(tmp_path) == {"not written": 1}


@pytest.mark.parametrize("kept", [0, 60])
def test_after_a_power_cut_that_took_the_counts_what_is_there_is_kept(tmp_path: Path, kept: int) -> None:
    with appending(tmp_path, SLEEPS) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [tally] = (tmp_path / "open").glob(f"*{ProcessCounters.SUFFIX}")
    tally.unlink() if kept else tally.write_bytes(b"")
    recover(LogDirectory(tmp_path))
    assert len(records(read(tmp_path))) == written
    assert gaps(tmp_path) == {}
    assert [*(tmp_path / "open").iterdir()] == []


def test_a_segment_whose_header_was_lost_holds_up_no_other_and_is_kept(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        process.do("fill")
        process.end(signal.SIGKILL)
    (tmp_path / "open" / f"{'f' * 32}-000000.jsonl").write_bytes(bytes(100) + b"\n" + bytes(100))
    assert recover(LogDirectory(tmp_path)) == 2
    assert len([*tmp_path.glob("damaged/*/*.jsonl.gz")]) == len([*tmp_path.glob("shop/*/*.jsonl.gz")]) == 1
    assert verify([str(tmp_path)], FolderStore()).counts == {"line": 1, "frame": 1}
    assert [*(tmp_path / "open").iterdir()] == []


def test_a_process_that_cannot_be_recovered_holds_up_no_other(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        process.do("fill")
        process.end(signal.SIGKILL)
    (tmp_path / "open" / f"{'0' * 32}{ProcessCounters.SUFFIX}").mkdir()  # comes first, and is no file
    with pytest.raises(IsADirectoryError):
        recover(LogDirectory(tmp_path))
    assert len([*tmp_path.glob("shop/*/*.jsonl.gz")]) == 1
    assert [path.name for path in (tmp_path / "open").iterdir()] == [f"{'0' * 32}{ProcessCounters.SUFFIX}"]


def test_what_was_written_survives_the_kill(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK) as process:
        process.do("take 100")
        until(lambda: process.statistics()["write_lag"] == 0)
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    assert len(records(read(tmp_path))) == 100
    assert gaps(tmp_path) == {}


def test_nobody_recovers_what_a_living_process_writes(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        process.do("fill")
        assert recover(LogDirectory(tmp_path)) == 0
        assert len([*(tmp_path / "open").iterdir()]) == 2
        process.end(signal.SIGTERM)


def test_a_process_that_is_told_to_end_loses_nothing(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        process.do("take 500")
        process.end(signal.SIGTERM)
        assert process.process.returncode == 0
    assert len(records(read(tmp_path))) == 500
    assert verify([str(tmp_path)], FolderStore()).issue_count == 0


def test_a_full_disk_is_waited_for_in_memory_and_then_drops_and_counts_without_holding_up(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK) as process:
        process.do("take 10")
        process.do("limit 100000")
        process.do("take 1000")
        until(lambda: process.statistics()["write_lag"] > 0.2)  # the writer has found out
        given = 1010
        while not process.statistics()["dropped"]:
            process.do("take 1000")
            given += 1000
        full = process.statistics()
        assert full["dropped"].keys() == {"disk full"}
        assert full["written"] < full["appended"] < given
        assert full["longest"] < 1  # second; a disk's own time-outs are far longer
        process.do("limit -1")
        until(lambda: process.statistics()["write_lag"] == 0)
        assert process.do("close") == "closed"
        after = process.statistics()
    assert after["written"] == after["appended"]
    assert after["appended"] + sum(after["dropped"].values()) == given
    assert len(records(read(tmp_path))) == after["appended"]
    assert gaps(tmp_path) == after["dropped"]
    assert verify([str(tmp_path)], FolderStore()).counts.keys() == {"gap"}


def test_a_process_that_can_open_no_more_files_writes_all_it_takes(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK) as process:
        process.do("fill")  # so that a segment is open
        process.do("files 0")
        until(lambda: process.statistics()["dropped"] != {} or process.do("take 2000") == "0" or filled_twice(process))
        limited = process.statistics()
        process.do("files -1")
        assert limited["dropped"] == {}
        process.do("take 1")
        until(lambda: process.statistics()["write_lag"] == 0)
        process.end(signal.SIGTERM)
    assert len(records(read(tmp_path))) == limited["appended"] + 1
    assert verify([str(tmp_path)], FolderStore()).issue_count == 0


def filled_twice(process: Appender) -> bool:
    """Whether more was written than the buffer has room for, and nothing waits."""
    until(lambda: process.statistics()["write_lag"] == 0)
    return bool(process.statistics()["written"] * len(encode(decision())) > 6 * FLUSH_BYTES)


def test_a_process_starts_on_a_full_disk_and_writes_when_there_is_room(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK, limit=0) as process:
        assert process.do("take 100") == "100"
        until(lambda: process.statistics()["write_lag"] > 0.1)
        assert process.statistics()["written"] == 0
        process.do("limit -1")
        until(lambda: process.statistics()["write_lag"] == 0)
        process.do("take 5")
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    lost = gaps(tmp_path).get("not written", 0)
    assert len(records(read(tmp_path))) + lost == 105
    assert lost <= 5


def test_a_process_that_ends_with_a_full_disk_is_counted_by_the_next_one(tmp_path: Path) -> None:
    with appending(tmp_path, BRISK) as process:
        process.do("limit 50000")
        assert process.do("take 1000") == "1000"
        assert process.do("close") == "closed"
        written = process.statistics()["written"]
        assert 0 < written < 1000
    recover(LogDirectory(tmp_path))
    assert len(records(read(tmp_path))) == written
    assert gaps(tmp_path) == {"not written": 1000 - written}


def test_what_there_is_no_room_to_compress_is_finished_as_it_is(tmp_path: Path) -> None:
    with appending(tmp_path, SLEEPS) as process:
        written = int(process.do("fill"))
        process.end(signal.SIGKILL)
    [path] = (tmp_path / "open").glob("*.jsonl")
    with appending(tmp_path / "other", SLEEPS) as process:
        process.do("limit 1000")
        finished = Path(process.do(f"finish {path}"))
    assert finished.name.endswith(".jsonl")
    assert len(records(read(finished.parents[2]))) == written
