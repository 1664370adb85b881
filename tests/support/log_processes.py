"""Processes that write a log until they are killed or the disk is full."""

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

from tests.support.decision_logs import LIMITS, WAIT_SECONDS, read_log, wait_until

from adloom.decision_log.log import DecisionLog
from adloom.decision_log.record import Gap

ROOT = Path(__file__).parents[2]


NEVER = 3600.0  # seconds between two writes


FAST = 0.01


class LogProcess:
    """A process that appends on command."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def do(self, command: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def statistics(self) -> dict[str, Any]:
        statistics: dict[str, Any] = json.loads(self.do("statistics"))
        return statistics

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=WAIT_SECONDS)


@contextmanager
def start_log_process(folder: Path, flush: float, limit: int = -1) -> Iterator[LogProcess]:
    program = [sys.executable, str(ROOT / "tests/support/log_appender.py"), str(folder), str(flush), str(limit)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True, env=environment) as process:
        try:
            yield LogProcess(process)
        finally:
            process.kill()


def count_gaps(folder: Path) -> dict[str, int]:
    result: Counter[str] = Counter()
    for line in read_log(folder):
        if isinstance(line, Gap):
            result[line.reason] += line.records
    return dict(result)


def recover_log(folder: Path) -> None:
    log = DecisionLog(folder, "shop", LIMITS)
    wait_until(lambda: not [*folder.glob("open/*.jsonl")])  # recovered
    log.close()
