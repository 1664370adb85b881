"""The decision log and S3: refused, silent or cut off, nothing waits for it, and all is there once and whole."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support import seaweedfs
from tests.support.decision_logs import BRISK, click, decision, read_log, select_records, wait_until
from tests.support.relay import Fault, Relay
from tests.support.seaweedfs import BUCKET, Server

from adloom.cli.main import cli
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.decision_log.log import DecisionLog
from adloom.decision_log.verify import verify
from adloom.errors import DataError
from adloom.storage import manifest
from adloom.storage.router import open_object_store
from adloom.storage.s3_client import S3Options
from adloom.storage.s3_errors import S3_RETRY

FAST_RETRY = replace(S3_RETRY, pauses=(0.02, 0.05))  # three tries, as shipped
HASTE = S3Options(connect_timeout=0.5, read_timeout=0.5, retry=FAST_RETRY)
SEGMENT = replace(BRISK, segment=40_000)
COUNT = 300


@contextmanager
def logging(folder: Path, remote: str, endpoint: str) -> Iterator[DecisionLog]:
    log = DecisionLog(folder, "shop", SEGMENT, open_object_store(remote, endpoint, HASTE))
    try:
        yield log
    finally:
        log.close(within=30)


def take(log: DecisionLog, first: int = 0) -> float:
    """Append records, a segment and more, and return the longest time that one took."""
    longest = 0.0
    for number in range(first, first + COUNT):
        begun = time.perf_counter()
        assert log.append(decision(number))
        longest = max(longest, time.perf_counter() - begun)
        if number % 50 == 49:
            wait_until(lambda: log.statistics().write_lag == 0)  # so that there are several segments
    return longest


def there(server: Server, prefix: str) -> dict[str, bytes]:
    """The objects below a prefix, each of them named by its content."""
    result = {name: server.get(BUCKET, prefix + name) for name in server.keys(BUCKET, prefix)}
    for name, content in result.items():
        assert name.rpartition("/")[2] == f"{hashlib.sha256(content).hexdigest()}.jsonl.gz"
    return result


FAULTS = {
    "refused": [],
    "silent": [Fault("silent", "write", after=0, then=3)],
    "silent in the middle": [Fault("silent", "write", after=500, then=3, since=b"PUT ")],
    "cut": [Fault("cut", "write", after=500, then=2, since=b"PUT ")],
    "answer cut": [Fault("cut", "read", after=10, then=3)],  # it was kept, and nobody knows
}


@pytest.mark.parametrize("fault", FAULTS)
def test_while_s3_is_away_nothing_waits_and_afterwards_all_is_there_once(
    environment: Server, relay: Relay, tmp_path: Path, fault: str
) -> None:
    prefix = f"log/{fault.replace(' ', '-')}/"
    with logging(tmp_path / "log", f"s3://{BUCKET}/{prefix}", relay.endpoint) as log:
        if fault == "refused":
            relay.refuse()
        relay.fail(*FAULTS[fault])
        assert take(log) < 1  # second, with all that goes on beside it
        wait_until(lambda: log.statistics().failures > 0 or (relay.whole and fault != "refused"))
        if fault == "refused":
            assert (log.statistics().shipped, log.statistics().dropped) == (0, {})
            assert log.statistics().ship_lag > 0
            relay.heal()
        wait_until(lambda: log.statistics().shipped >= 3)
    assert [*(tmp_path / "log").glob("shop/*/*")] == []
    objects_there = there(environment, prefix)
    assert len(objects_there) == log.statistics().shipped
    findings = verify([f"s3://{BUCKET}/{prefix}"], open_store(Settings(quiet=True)))
    assert (findings.decisions, findings.issue_count) == (COUNT, 0)


def test_shipped_segments_are_not_sent_again_after_a_restart(environment: Server, tmp_path: Path) -> None:
    remote = f"s3://{BUCKET}/log/again"
    with logging(tmp_path / "away", remote, "http://127.0.0.1:1") as log:
        log.append(decision())
        log.close(within=0.1)
    [path] = (tmp_path / "away").glob("shop/*/*")
    name = path.relative_to(tmp_path / "away").as_posix()
    environment.put(BUCKET, f"log/again/{name}", path.read_bytes())
    before = environment.client.head_object(Bucket=BUCKET, Key=f"log/again/{name}")["LastModified"]
    with logging(tmp_path / "away", remote, environment.endpoint):
        pass
    assert not path.exists()
    assert environment.client.head_object(Bucket=BUCKET, Key=f"log/again/{name}")["LastModified"] == before
    assert environment.keys(BUCKET, "log/again/") == {name}


def test_an_object_that_is_not_whole_is_sent_again(environment: Server, tmp_path: Path) -> None:
    with logging(tmp_path / "log", f"s3://{BUCKET}/log/half", "http://127.0.0.1:1") as log:
        log.append(decision())
        log.close(within=0.1)
    [path] = (tmp_path / "log").glob("shop/*/*")
    name, content = path.relative_to(tmp_path / "log").as_posix(), path.read_bytes()
    environment.put(BUCKET, f"log/half/{name}", content[:40])
    with logging(tmp_path / "log", f"s3://{BUCKET}/log/half", environment.endpoint):
        pass
    assert there(environment, "log/half/") == {name: content}


def test_the_commands_read_and_write_s3(environment: Server, tmp_path: Path) -> None:
    with logging(tmp_path / "log", f"s3://{BUCKET}/log/commands", environment.endpoint) as log:
        for record in (decision(0), click(0), click(9)):
            log.append(record)
    faulty = CliRunner().invoke(cli, ["log", "verify", f"s3://{BUCKET}/log/commands", "--json"])
    assert isinstance(faulty.exception, DataError)
    assert json.loads(faulty.output)["checks"]["feedback"]["count"] == 1
    out = f"s3://{BUCKET}/impressions/commands"
    command = ["log", "to-impressions", f"s3://{BUCKET}/log/commands", "--out", out, "--json"]
    summary = json.loads(CliRunner().invoke(cli, command).output)
    assert (summary["impressions"], summary["lost_feedback"]) == (2, 1)
    assert environment.keys(BUCKET, "impressions/commands/") == {"2026-09-21.parquet", "manifest.json"}
    fetched = open_store(Settings(quiet=True)).fetch(out, tmp_path / "fetched")
    assert manifest.verify(fetched).rows == {"impressions": 2}


def test_late_credentials_ship_the_waiting_segments(
    environment: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = f"s3://{BUCKET}/log/later"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    with logging(tmp_path / "log", remote, environment.endpoint) as log:
        log.append(decision())
        log.close(within=0.1)
    wait_until(lambda: log.statistics().failures > 0)
    assert len(select_records(read_log(tmp_path / "log"))) == 1
    seaweedfs.visit(environment, monkeypatch)
    with logging(tmp_path / "log", remote, environment.endpoint):
        pass
    assert len(there(environment, "log/later/")) == 1
