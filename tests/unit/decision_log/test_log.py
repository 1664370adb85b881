"""The log of a process: what it takes it writes, what it cannot take it counts, and nobody waits for it."""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.decision_logs import click, decision, framed, read, until, write

from adloom.config.settings import Settings
from adloom.decision_log import segment_file
from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.log import DecisionLog, open_log
from adloom.decision_log.record import Decision, End, Feedback, Gap, Header, Line, Record, encode, now
from adloom.decision_log.segment_file import LogDirectory, recover
from adloom.decision_log.verify import verify
from adloom.decision_log.writer import Limits
from adloom.errors import ConfigError
from adloom.storage.local import FolderObjectStore, FolderStore

HOUR = 3600.0
LIMITS = Limits(flush=HOUR, buffer=1 << 24, segment=1 << 24, rotation=HOUR, disk=1 << 30)  # nothing but `close` writes
BRISK = replace(LIMITS, flush=0.005)


def records(lines: list[Line]) -> list[Line]:
    return [line for line in lines if isinstance(line, Decision | Feedback)]


def kinds(lines: list[Line]) -> list[str]:
    return [type(line).__name__ for line in lines]


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


class Ahead(FolderObjectStore):
    """A remote that fails so many times, and then is well."""

    def __init__(self, url: str, failures: int) -> None:
        super().__init__(url)
        self.failures = failures

    def put(self, path: Path, name: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        super().put(path, name)


class Forgetful(FolderObjectStore):
    """A remote that says yes and keeps half."""

    def put(self, path: Path, name: str) -> None:
        super().put(path, name)
        (self._root / name).write_bytes(path.read_bytes()[:50])


def test_what_was_taken_is_in_the_log_when_it_is_closed_in_order(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    given: list[Record] = [decision(0), click(0), decision(1)]
    assert [log.append(record) for record in given] == [True] * 3
    log.close()
    header, *between, end = read(tmp_path)
    assert isinstance(header, Header)
    assert isinstance(end, End)
    assert (header.project, header.number, header.records, end.records, end.last) == ("shop", 0, 0, 3, True)
    assert between == given
    assert [*(tmp_path / "open").iterdir()] == []
    numbers = log.statistics()
    assert (numbers.appended, numbers.written, numbers.dropped, numbers.write_lag) == (3, 3, {}, 0)


def test_a_finished_segment_is_named_by_its_content_below_project_and_day(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    log.append(decision())
    log.close()
    [path] = (tmp_path / "shop").glob("*/*")
    assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.jsonl.gz"
    header = read(tmp_path)[0]
    assert path.stat().st_mtime == pytest.approx(header.time / 1e6)


def test_a_process_that_logged_nothing_leaves_nothing(tmp_path: Path) -> None:
    DecisionLog(tmp_path, "shop", LIMITS).close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_records_are_written_while_the_process_goes_on(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", BRISK)
    log.append(decision())
    until(lambda: log.statistics().written == 1)
    [path] = (tmp_path / "open").glob("*.jsonl")
    assert path.read_bytes().splitlines()[1] == encode(decision())
    log.close()


def test_a_segment_is_rotated_at_its_size_and_the_next_one_goes_on_counting(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", replace(BRISK, segment=2000))
    for number in range(20):
        log.append(decision(number))
        until(lambda: log.statistics().write_lag == 0)
    log.close()
    lines = read(tmp_path)
    assert records(lines) == [decision(number) for number in range(20)]
    headers = [line for line in lines if isinstance(line, Header)]
    ends = [line for line in lines if isinstance(line, End)]
    assert len(headers) == len(ends) > 3
    assert [header.number for header in headers] == [*range(len(headers))]
    assert [header.records for header in headers] == [0, *(end.records for end in ends[:-1])]
    assert [end.last for end in ends] == [False] * (len(ends) - 1) + [True]


def test_a_segment_is_rotated_when_it_is_old_enough(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", replace(BRISK, rotation=0.01))
    log.append(decision())
    until(lambda: len([*tmp_path.glob("shop/*/*")]) == 1)
    log.close()
    assert kinds(read(tmp_path)) == ["Header", "Decision", "End", "Header", "End"]


def test_what_a_full_buffer_cannot_take_is_dropped_counted_and_told_by_a_gap(tmp_path: Path) -> None:
    room = len(encode(decision())) + 1
    log = DecisionLog(tmp_path, "shop", replace(LIMITS, buffer=2 * room))
    assert [log.append(decision(number)) for number in range(5)] == [True, True, False, False, False]
    assert log.statistics().dropped == {"buffer full": 3}
    assert log.statistics().write_lag > 0
    log.close()
    lines = read(tmp_path)
    assert records(lines) == [decision(0), decision(1)]
    assert [(line.reason, line.records) for line in lines if isinstance(line, Gap)] == [("buffer full", 3)]


@pytest.mark.parametrize("bad", [{"placement": object()}, {"context": {"device": "\ud800"}}])
def test_what_cannot_be_encoded_fails_no_answer(tmp_path: Path, bad: dict[str, Any]) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    assert not log.append(decision(**bad))
    log.append(decision())
    log.close()
    assert [(line.reason, line.records) for line in read(tmp_path) if isinstance(line, Gap)] == [("not a record", 1)]


def test_after_the_end_nothing_is_taken_and_closing_twice_is_once(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    log.append(decision())
    log.close()
    log.close()
    assert not log.append(decision(1))
    assert records(read(tmp_path)) == [decision(0)]


def test_a_failing_fsync_neither_leaks_nor_ends_a_segment_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = len(encode(decision())) + 1
    log = DecisionLog(tmp_path, "shop", replace(BRISK, buffer=room, rotation=0.01))
    monkeypatch.setattr(segment_file, "os", Os(fsync=OSError(errno.EIO, "Input/output error")))
    for number in range(20):
        until(lambda number=number: log.append(decision(number)))  # type: ignore[misc]
    until(lambda: log.statistics().written == 20)
    assert log.statistics().write_lag == 0
    monkeypatch.undo()
    log.close()
    assert records(read(tmp_path)) == [decision(number) for number in range(20)]
    assert kinds(read(tmp_path)).count("Header") == kinds(read(tmp_path)).count("End") > 1
    assert verify([str(tmp_path)], FolderStore()).counts.keys() <= {"gap"}  # while the buffer was full


@pytest.mark.parametrize("whole", [False, True], ids=["segment", "folder"])
def test_a_segment_that_was_deleted_while_it_was_open_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, whole: bool
) -> None:
    remote = FolderObjectStore(str(tmp_path / "remote"))
    log = DecisionLog(tmp_path / "log", "shop", BRISK, remote)
    log.append(decision(0))
    until(lambda: log.statistics().written == 1)
    [path] = (tmp_path / "log" / "open").glob("*.jsonl")
    shutil.rmtree(path.parent) if whole else path.unlink()
    until(lambda: f"{path} was deleted before it was finished" in caplog.text)
    log.append(decision(1))
    until(lambda: log.statistics().written == 2)
    assert recover(LogDirectory(tmp_path / "log")) == 0  # nobody takes this process for one that has ended
    log.close()
    assert records(read(tmp_path / "remote")) == [decision(1)]
    assert (log.statistics().unshipped, log.statistics().ship_lag) == (0, 0)
    assert verify([str(tmp_path / "remote")], FolderStore()).issue_count == 0


def test_what_cannot_be_finished_yet_counts_as_unshipped(tmp_path: Path) -> None:
    (tmp_path / "log" / "shop").mkdir(parents=True)
    (day := tmp_path / "log" / "shop" / segment_file.format_day(now())).touch()  # is in the way
    log = DecisionLog(
        tmp_path / "log", "shop", replace(BRISK, rotation=0.01), FolderObjectStore(str(tmp_path / "remote"))
    )
    log.append(decision())
    until(lambda: log.statistics().unshipped == 1)
    assert log.statistics().ship_lag > 0
    day.unlink()
    until(lambda: log.statistics().shipped == 1)
    log.close()
    assert log.statistics().unshipped == 0


def test_a_segment_that_cannot_be_read_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = tmp_path / "log" / "shop" / "2026-01-01" / f"{'0' * 64}.jsonl.gz"
    bad.mkdir(parents=True)  # reading it fails
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))
    log.append(decision())
    log.close(within=0.5)
    assert records(read(tmp_path / "remote")) == [decision()]
    assert log.statistics().unshipped == 1
    assert f"Is a directory: '{bad}'" in caplog.text


def test_what_is_finished_is_shipped_though_another_process_cannot_be_recovered(tmp_path: Path) -> None:
    write(tmp_path / "log", framed([decision()]))
    (tmp_path / "log" / "open" / f"{'0' * 32}{ProcessCounters.SUFFIX}").mkdir(parents=True)  # reading it fails
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))
    until(lambda: log.statistics().shipped == 1)
    log.close(within=0)
    assert records(read(tmp_path / "remote")) == [decision()]


def test_only_their_owner_may_read_the_files_of_a_log(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", "shop", BRISK, FolderObjectStore(str(tmp_path / "remote")))
    log.append(decision(0))
    until(lambda: log.statistics().written == 1)
    files = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    log.close(within=0)
    files += [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.exists()} == {0o600}


def test_a_folder_that_holds_its_limit_takes_no_more(tmp_path: Path) -> None:
    (tmp_path / "shop" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "shop" / "2026-01-01" / "unshipped").write_bytes(bytes(2000))
    log = DecisionLog(tmp_path, "shop", replace(BRISK, disk=1000))
    until(lambda: not log.append(decision()))
    taken = log.statistics().appended
    log.close()
    lines = read(tmp_path)
    assert len(records(lines)) == taken
    assert [(line.reason, line.records) for line in lines if isinstance(line, Gap)] == [("disk limit", 1)]


def test_what_fails_to_be_shipped_is_tried_again_and_then_taken_away_here(tmp_path: Path) -> None:
    remote = Ahead(str(tmp_path / "remote"), failures=1)
    log = DecisionLog(tmp_path / "log", "shop", replace(BRISK, rotation=0.01), remote)
    log.append(decision())
    until(lambda: log.statistics().shipped == 1)
    assert log.statistics().failures == 1
    log.close()
    assert [*(tmp_path / "log").glob("shop/*/*")] == []
    assert records(read(tmp_path / "remote")) == [decision()]
    assert (log.statistics().unshipped, log.statistics().ship_lag) == (0, 0)


def test_what_the_remote_does_not_have_whole_stays_here(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, Forgetful(str(tmp_path / "remote")))
    log.append(decision())
    log.close(within=0.1)
    assert log.statistics().failures > 0
    assert log.statistics().ship_lag > 0
    assert records(read(tmp_path / "log")) == [decision()]


def test_the_next_process_ships_what_the_last_one_could_not(tmp_path: Path) -> None:
    first = DecisionLog(tmp_path / "log", "shop", LIMITS, Ahead(str(tmp_path / "remote"), failures=99))
    first.append(decision())
    first.close(within=0.1)
    DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote"))).close()
    assert records(read(tmp_path / "remote")) == [decision()]


def test_several_logs_share_a_folder(tmp_path: Path) -> None:
    logs = [DecisionLog(tmp_path / "log", "shop", BRISK, FolderObjectStore(str(tmp_path / "remote"))) for _ in range(3)]
    for number in range(30):
        logs[number % 3].append(decision(number))
    for log in logs:
        log.close()
    found = records(read(tmp_path / "remote"))
    assert sorted(line.time for line in found) == [decision(number).time for number in range(30)]
    assert [*(tmp_path / "log").glob("shop/*/*")] == []


def test_the_environment_says_where_and_how(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path / "home", log_uri=str(tmp_path / "remote")), "shop")
    log.append(decision())
    log.close()
    assert records(read(tmp_path / "remote")) == [decision()]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="decision log: .*file/decisions: .*; set ADLOOM_HOME "):
        open_log(Settings(home=tmp_path / "file"), "shop")


def test_the_log_and_its_verification_need_nothing_that_trains(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    log.append(decision())
    log.close()
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['pandas', 'pyarrow', 'duckdb', 'torch', 'sklearn', 'dvc']))\n"
        "import adloom.decision_log.log\n"
        f"sys.argv = ['adloom', 'log', 'verify', {str(tmp_path)!r}]\n"
        "from adloom.cli.main import main; main()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
