"""Segments reach the remote, also after failures."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.decision_logs import (
    BRISK,
    LIMITS,
    decision,
    frame_segment,
    read_log,
    select_records,
    wait_until,
    write_segment,
)
from tests.support.remotes import FlakyRemote, TruncatingRemote

from adloom.decision_log import segment_file
from adloom.decision_log.counters import ProcessCounters
from adloom.decision_log.log import DecisionLog
from adloom.decision_log.record import now
from adloom.storage.local import FolderObjectStore


@pytest.mark.slow
def test_unfinished_segments_count_as_unshipped(tmp_path: Path) -> None:
    (tmp_path / "log" / "shop").mkdir(parents=True)
    (day := tmp_path / "log" / "shop" / segment_file.format_day(now())).touch()  # is in the way
    log = DecisionLog(
        tmp_path / "log", "shop", replace(BRISK, rotation=0.01), FolderObjectStore(str(tmp_path / "remote"))
    )
    log.append(decision())
    wait_until(lambda: log.statistics().unshipped == 1)
    assert log.statistics().ship_lag > 0
    day.unlink()
    wait_until(lambda: log.statistics().shipped == 1)
    log.close()
    assert log.statistics().unshipped == 0


@pytest.mark.slow
def test_a_segment_that_cannot_be_read_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = tmp_path / "log" / "shop" / "2026-01-01" / f"{'0' * 64}.jsonl.gz"
    bad.mkdir(parents=True)  # reading it fails
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))
    log.append(decision())
    log.close(within=0.5)
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
    assert log.statistics().unshipped == 1
    assert f"Is a directory: '{bad}'" in caplog.text


def test_a_failed_recovery_does_not_stop_shipping(tmp_path: Path) -> None:
    write_segment(tmp_path / "log", frame_segment([decision()]))
    (tmp_path / "log" / "open" / f"{'0' * 32}{ProcessCounters.SUFFIX}").mkdir(parents=True)  # reading it fails
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))
    wait_until(lambda: log.statistics().shipped == 1)
    log.close(within=0)
    assert select_records(read_log(tmp_path / "remote")) == [decision()]


@pytest.mark.slow
def test_failed_shipping_is_retried_and_then_deletes_the_segment(tmp_path: Path) -> None:
    remote = FlakyRemote(str(tmp_path / "remote"), failures=1)
    log = DecisionLog(tmp_path / "log", "shop", replace(BRISK, rotation=0.01), remote)
    log.append(decision())
    wait_until(lambda: log.statistics().shipped == 1)
    assert log.statistics().failures == 1
    log.close()
    assert [*(tmp_path / "log").glob("shop/*/*")] == []
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
    assert (log.statistics().unshipped, log.statistics().ship_lag) == (0, 0)


def test_an_incomplete_upload_keeps_the_segment(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", "shop", LIMITS, TruncatingRemote(str(tmp_path / "remote")))
    log.append(decision())
    log.close(within=0.1)
    assert log.statistics().failures > 0
    assert log.statistics().ship_lag > 0
    assert select_records(read_log(tmp_path / "log")) == [decision()]


def test_the_next_process_ships_the_remaining_segments(tmp_path: Path) -> None:
    first = DecisionLog(tmp_path / "log", "shop", LIMITS, FlakyRemote(str(tmp_path / "remote"), failures=99))
    first.append(decision())
    first.close(within=0.1)
    DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote"))).close()
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
