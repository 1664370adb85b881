"""Segments are rotated, and a failing disk loses nothing that was accepted."""

import errno
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.decision_logs import BRISK, decision, line_types, read_log, select_records, wait_until
from tests.support.log_processes import FAST, LogProcess, count_gaps, start_log_process

from adloom.decision_log import segment_file
from adloom.decision_log.log import FLUSH_BYTES, DecisionLog
from adloom.decision_log.record import End, Gap, Header, encode
from adloom.decision_log.segment_file import LogDirectory, recover
from adloom.decision_log.verify import verify
from adloom.storage.local import FolderObjectStore, FolderStore


class Os:
    """The module os, of which some functions raise."""

    def __init__(self, **errors: OSError) -> None:
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        if name not in self._errors:
            return getattr(os, name)

        def fails(*_: object) -> None:
            raise self._errors[name]

        fails.__name__ = name
        return fails


def test_a_segment_is_rotated_at_its_size_and_the_next_one_goes_on_counting(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", replace(BRISK, segment=2000))
    for number in range(20):
        log.append(decision(number))
        wait_until(lambda: log.statistics().write_lag == 0)
    log.close()
    lines = read_log(tmp_path)
    assert select_records(lines) == [decision(number) for number in range(20)]
    headers = [line for line in lines if isinstance(line, Header)]
    ends = [line for line in lines if isinstance(line, End)]
    assert len(headers) == len(ends) > 3
    assert [header.number for header in headers] == [*range(len(headers))]
    assert [header.records for header in headers] == [0, *(end.records for end in ends[:-1])]
    assert [end.last for end in ends] == [False] * (len(ends) - 1) + [True]


def test_a_segment_is_rotated_when_it_is_old_enough(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", replace(BRISK, rotation=0.01))
    log.append(decision())
    wait_until(lambda: len([*tmp_path.glob("shop/*/*")]) == 1)
    log.close()
    assert line_types(read_log(tmp_path)) == ["Header", "Decision", "End", "Header", "End"]


def test_a_failing_fsync_neither_leaks_nor_ends_a_segment_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = len(encode(decision())) + 1
    log = DecisionLog(tmp_path, "shop", replace(BRISK, buffer=room, rotation=0.01))
    monkeypatch.setattr(segment_file, "os", Os(fsync=OSError(errno.EIO, "Input/output error")))
    for number in range(20):
        wait_until(lambda number=number: log.append(decision(number)))  # type: ignore[misc]
    wait_until(lambda: log.statistics().written == 20)
    assert log.statistics().write_lag == 0
    monkeypatch.undo()
    log.close()
    assert select_records(read_log(tmp_path)) == [decision(number) for number in range(20)]
    assert line_types(read_log(tmp_path)).count("Header") == line_types(read_log(tmp_path)).count("End") > 1
    assert verify([str(tmp_path)], FolderStore()).counts.keys() <= {"gap"}  # while the buffer was full


@pytest.mark.parametrize("whole", [False, True], ids=["segment", "folder"])
def test_a_segment_that_was_deleted_while_it_was_open_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    remote = FolderObjectStore(str(tmp_path / "remote"))
    log = DecisionLog(tmp_path / "log", "shop", BRISK, remote)
    log.append(decision(0))
    wait_until(lambda: log.statistics().written == 1)
    [path] = (tmp_path / "log" / "open").glob("*.jsonl")
    shutil.rmtree(path.parent) if whole else path.unlink()
    wait_until(lambda: f"{path} was deleted before it was finished" in caplog.text)
    log.append(decision(1))
    wait_until(lambda: log.statistics().written == 2)
    assert recover(LogDirectory(tmp_path / "log")) == 0  # nobody takes this process for one that has ended
    log.close()
    assert select_records(read_log(tmp_path / "remote")) == [decision(1)]
    assert (log.statistics().unshipped, log.statistics().ship_lag) == (0, 0)
    assert verify([str(tmp_path / "remote")], FolderStore()).issue_count == 0


def test_a_folder_that_holds_its_limit_takes_no_more(tmp_path: Path) -> None:
    (tmp_path / "shop" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "shop" / "2026-01-01" / "unshipped").write_bytes(bytes(2000))
    log = DecisionLog(tmp_path, "shop", replace(BRISK, disk=1000))
    wait_until(lambda: not log.append(decision()))
    accepted = log.statistics().appended
    log.close()
    lines = read_log(tmp_path)
    assert len(select_records(lines)) == accepted
    assert [(line.reason, line.records) for line in lines if isinstance(line, Gap)] == [("disk limit", 1)]


@pytest.mark.slow
def test_a_full_disk_is_waited_for_in_memory_and_then_drops_and_counts_without_holding_up(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST) as process:
        process.do("take 10")
        process.do("limit 100000")
        process.do("take 1000")
        wait_until(lambda: process.statistics()["write_lag"] > 0.2)  # the writer has found out
        sent = 1010
        while not process.statistics()["dropped"]:
            process.do("take 1000")
            sent += 1000
        full = process.statistics()
        assert full["dropped"].keys() == {"disk full"}
        assert full["written"] < full["appended"] < sent
        assert full["longest"] < 1  # second; a disk's own time-outs are far longer
        process.do("limit -1")
        wait_until(lambda: process.statistics()["write_lag"] == 0)
        assert process.do("close") == "closed"
        after = process.statistics()
    assert after["written"] == after["appended"]
    assert after["appended"] + sum(after["dropped"].values()) == sent
    assert len(select_records(read_log(tmp_path))) == after["appended"]
    assert count_gaps(tmp_path) == after["dropped"]
    assert verify([str(tmp_path)], FolderStore()).counts.keys() == {"gap"}


@pytest.mark.slow
def test_a_process_that_can_open_no_more_files_writes_all_it_takes(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST) as process:
        process.do("fill")  # so that a segment is open
        process.do("files 0")
        wait_until(
            lambda: process.statistics()["dropped"] != {} or process.do("take 2000") == "0" or filled_twice(process)
        )
        limited = process.statistics()
        process.do("files -1")
        assert limited["dropped"] == {}
        process.do("take 1")
        wait_until(lambda: process.statistics()["write_lag"] == 0)
        process.end(signal.SIGTERM)
    assert len(select_records(read_log(tmp_path))) == limited["appended"] + 1
    assert verify([str(tmp_path)], FolderStore()).issue_count == 0


def filled_twice(process: LogProcess) -> bool:
    """Whether more was written than the buffer has room for, and nothing waits."""
    wait_until(lambda: process.statistics()["write_lag"] == 0)
    return bool(process.statistics()["written"] * len(encode(decision())) > 6 * FLUSH_BYTES)


@pytest.mark.slow
def test_a_process_starts_on_a_full_disk_and_writes_when_there_is_room(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST, limit=0) as process:
        assert process.do("take 100") == "100"
        wait_until(lambda: process.statistics()["write_lag"] > 0.1)
        assert process.statistics()["written"] == 0
        process.do("limit -1")
        wait_until(lambda: process.statistics()["write_lag"] == 0)
        process.do("take 5")
        process.end(signal.SIGKILL)
    recover(LogDirectory(tmp_path))
    lost = count_gaps(tmp_path).get("not written", 0)
    assert len(select_records(read_log(tmp_path))) + lost == 105
    assert lost <= 5


@pytest.mark.slow
def test_a_process_that_ends_with_a_full_disk_is_counted_by_the_next_one(tmp_path: Path) -> None:
    with start_log_process(tmp_path, FAST) as process:
        process.do("limit 50000")
        assert process.do("take 1000") == "1000"
        assert process.do("close") == "closed"
        written = process.statistics()["written"]
        assert 0 < written < 1000
    recover(LogDirectory(tmp_path))
    assert len(select_records(read_log(tmp_path))) == written
    assert count_gaps(tmp_path) == {"not written": 1000 - written}
