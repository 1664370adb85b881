"""
A process that appends, controlled over stdin, with answers on stdout: `python log_appender.py FOLDER SECONDS [LIMIT]`.

Commands: `take N` appends records and prints how many were accepted; `fill` appends enough to wake the writer, waits
until all are written, and prints their number; `limit N` limits the size of files to N bytes (-1: no limit); `files N`
limits the number of open files; `statistics`; `finish FILE`; `close`. LIMIT applies from the start. At SIGTERM the
process closes the log, as a service does.
"""

import json
import resource
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from tests.support.decision_logs import LIMITS, draw_decision, wait_until

from adloom.decision_log.log import FLUSH_BYTES, DecisionLog
from adloom.decision_log.record import encode
from adloom.decision_log.segment_file import LogDirectory


class Appender:
    """The log and its commands."""

    def __init__(self, folder: Path, flush: float) -> None:
        self.folder = folder
        self.log = DecisionLog(folder, "shop", replace(LIMITS, flush=flush, buffer=2 * FLUSH_BYTES))
        self.longest = 0.0  # longest time of an append, seconds

    def append(self) -> bool:
        record = draw_decision(self.log.statistics().appended)
        start = time.perf_counter()
        accepted = self.log.append(record)
        self.longest = max(self.longest, time.perf_counter() - start)
        return accepted

    def take(self, count: str) -> str:
        return str(sum(self.append() for _ in range(int(count))))

    def fill(self) -> str:
        count = -(-FLUSH_BYTES // min(len(encode(draw_decision(number))) + 1 for number in range(10)))
        self.take(str(count))
        wait_until(lambda: self.log.statistics().write_lag == 0)
        return str(count)

    def limit(self, size: str) -> str:
        set_limit(resource.RLIMIT_FSIZE, int(size))
        return "limited"

    def files(self, count: str) -> str:
        set_limit(resource.RLIMIT_NOFILE, int(count))
        return "limited"

    def statistics(self) -> str:
        return json.dumps({**asdict(self.log.statistics()), "longest": self.longest})

    def finish(self, path: str) -> str:
        return str(LogDirectory(self.folder).finish(Path(path)))

    def close(self) -> str:
        self.log.close()
        return "closed"


def set_limit(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (hard if limit < 0 else limit, hard))


if __name__ == "__main__":
    set_limit(resource.RLIMIT_FSIZE, int(sys.argv[3]))
    appender = Appender(Path(sys.argv[1]), float(sys.argv[2]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the log closes itself at exit
    for line in sys.stdin:
        command, *arguments = line.split()
        print(getattr(appender, command)(*arguments), flush=True)
