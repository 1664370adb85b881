"""The log of a process: what it takes it writes, what it cannot take it counts, and nobody waits for it."""

import hashlib
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.decision_logs import BRISK, LIMITS, click, decision, read_log, select_records, wait_until
from tests.support.log_processes import NEVER, start_log_process

from adloom.config.settings import Settings
from adloom.decision_log.log import DecisionLog, open_log
from adloom.decision_log.record import End, Gap, Header, Record, encode
from adloom.decision_log.verify import verify
from adloom.errors import ConfigError
from adloom.storage.local import FolderObjectStore, FolderStore


def test_accepted_records_are_in_the_closed_log_in_order(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    values: list[Record] = [decision(0), click(0), decision(1)]
    assert [log.append(record) for record in values] == [True] * 3
    log.close()
    header, *between, end = read_log(tmp_path)
    assert isinstance(header, Header)
    assert isinstance(end, End)
    assert (header.project, header.number, header.records, end.records, end.last) == ("shop", 0, 0, 3, True)
    assert between == values
    assert [*(tmp_path / "open").iterdir()] == []
    numbers = log.statistics()
    assert (numbers.appended, numbers.written, numbers.dropped, numbers.write_lag) == (3, 3, {}, 0)


def test_a_finished_segment_is_named_by_its_content_below_project_and_day(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    log.append(decision())
    log.close()
    [path] = (tmp_path / "shop").glob("*/*")
    assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.jsonl.gz"
    header = read_log(tmp_path)[0]
    assert path.stat().st_mtime == pytest.approx(header.time / 1e6)


def test_a_process_that_logged_nothing_leaves_nothing(tmp_path: Path) -> None:
    DecisionLog(tmp_path, "shop", LIMITS).close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_records_are_written_while_the_process_goes_on(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", BRISK)
    log.append(decision())
    wait_until(lambda: log.statistics().written == 1)
    [path] = (tmp_path / "open").glob("*.jsonl")
    assert path.read_bytes().splitlines()[1] == encode(decision())
    log.close()


def test_records_beyond_a_full_buffer_are_dropped_with_a_gap(tmp_path: Path) -> None:
    room = len(encode(decision())) + 1
    log = DecisionLog(tmp_path, "shop", replace(LIMITS, buffer=2 * room))
    assert [log.append(decision(number)) for number in range(5)] == [True, True, False, False, False]
    assert log.statistics().dropped == {"buffer full": 3}
    assert log.statistics().write_lag > 0
    log.close()
    lines = read_log(tmp_path)
    assert select_records(lines) == [decision(0), decision(1)]
    assert [(line.reason, line.records) for line in lines if isinstance(line, Gap)] == [("buffer full", 3)]


@pytest.mark.parametrize("bad", [{"placement": object()}, {"context": {"device": "\ud800"}}])
def test_an_invalid_record_is_dropped_without_an_error(tmp_path: Path, bad: dict[str, Any]) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    assert not log.append(decision(**bad))
    log.append(decision())
    log.close()
    assert [(line.reason, line.records) for line in read_log(tmp_path) if isinstance(line, Gap)] == [
        ("not a record", 1)
    ]


def test_a_closed_log_rejects_records_and_can_be_closed_again(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "shop", LIMITS)
    log.append(decision())
    log.close()
    log.close()
    assert not log.append(decision(1))
    assert select_records(read_log(tmp_path)) == [decision(0)]


def test_only_their_owner_may_read_the_files_of_a_log(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", "shop", BRISK, FolderObjectStore(str(tmp_path / "remote")))
    log.append(decision(0))
    wait_until(lambda: log.statistics().written == 1)
    files = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    log.close(within=0)
    files += [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.exists()} == {0o600}


def test_several_logs_share_a_folder(tmp_path: Path) -> None:
    logs = [DecisionLog(tmp_path / "log", "shop", BRISK, FolderObjectStore(str(tmp_path / "remote"))) for _ in range(3)]
    for number in range(30):
        logs[number % 3].append(decision(number))
    for log in logs:
        log.close()
    result = select_records(read_log(tmp_path / "remote"))
    assert sorted(line.time for line in result) == [decision(number).time for number in range(30)]
    assert [*(tmp_path / "log").glob("shop/*/*")] == []


def test_the_environment_says_where_and_how(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path / "home", log_uri=str(tmp_path / "remote")), "shop")
    log.append(decision())
    log.close()
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="decision log: .*file/decisions: .*; set ADLOOM_HOME "):
        open_log(Settings(home=tmp_path / "file"), "shop")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_terminated_process_loses_nothing(tmp_path: Path) -> None:
    with start_log_process(tmp_path, NEVER) as process:
        process.do("take 500")
        process.end(signal.SIGTERM)
        assert process.process.returncode == 0
    assert len(select_records(read_log(tmp_path))) == 500
    assert verify([str(tmp_path)], FolderStore()).issue_count == 0
