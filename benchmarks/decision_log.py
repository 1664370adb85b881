"""Measure the cost of a decision log record in the serving process, and of writing it.

    python benchmarks/decision_log.py

append: µs to encode, count and buffer a record, median of 20 rounds; the peer is the standard library (json.dumps, then
write and flush). writing: CPU share of the writer's and the shipper's threads (write, compress, copy to a folder) at
2,000 records per second.
"""

import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

from msgspec import structs

from adloom.decision_log.log import DecisionLog, LogStatistics
from adloom.decision_log.record import Decision, now
from adloom.decision_log.writer import Limits
from adloom.storage.local import FolderObjectStore

ROUNDS, RECORDS = 20, 1000
BAR = {10: 8.0}  # µs
RATE, SECONDS = 2000, 5  # records per second, seconds
LIMITS = Limits(flush=0.1, buffer=64 << 20, segment=4 << 20, rotation=60, disk=1 << 30)


def create_records(candidates: int) -> list[Decision]:
    """Return distinct records like those of a service."""
    names = [f"creative-{number:05}" for number in range(candidates)]
    return [_create_record(names) for _ in range(RECORDS)]


def _create_record(names: list[str]) -> Decision:
    weights = [random.random() for _ in names]
    total = sum(weights)
    p = [weight / total for weight in weights]
    return Decision(
        time=now(),
        decision_id=os.urandom(16).hex(),
        project="shop",
        user=os.urandom(16).hex(),
        user_key=os.urandom(8).hex(),
        segment="loyal",
        placement="home",
        context={"device": "phone", "hour": "12", "country": "de"},
        candidates=names,
        probabilities=p,
        chosen=names[:1],
        propensities=p[:1],
        policy="d" * 64,
        policy_version=3,
        audience="e" * 64,
        audience_version=4,
        tier="model",
        elapsed_us=450,
    )


def time_per_record(append: Callable[[Decision], object], values: list[Decision]) -> float:
    """Return the median time per record, µs."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for record in values:
            append(record)
        rounds.append((time.perf_counter() - start) / len(values) * 1e6)
        time.sleep(0.15)  # lets the writer finish, which is measured separately
    return median(rounds)


def time_standard_library(folder: Path, values: list[Decision]) -> float:
    """Return the time per record of the standard library, with a flush."""
    with (folder / "peer.jsonl").open("w", encoding="utf-8") as stream:

        def append(record: Decision) -> None:
            stream.write(json.dumps(structs.asdict(record)) + "\n")
            stream.flush()

        return time_per_record(append, values)


def measure_writing(log: DecisionLog, values: list[Decision]) -> tuple[float, LogStatistics]:
    """Return the CPU share of the log's threads at a steady rate, and the log's statistics."""
    start, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    for number in range(RATE * SECONDS):
        wait = start + number / RATE - time.perf_counter()
        if wait > 0.005:
            time.sleep(wait)
        log.append(values[number % len(values)])
    log.close()
    others = (time.process_time() - cpu) - (time.thread_time() - own)
    return others / SECONDS, log.statistics()


def main() -> None:
    random.seed(7)
    print(f"{'append, µs':24} {'ours':>7} {'json + flush':>13} {'ratio':>6} {'bar':>5}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for candidates in (10, 50):
            values = create_records(candidates)
            log = DecisionLog(folder / str(candidates), "shop", LIMITS, FolderObjectStore(str(folder / "remote")))
            ours, theirs = time_per_record(log.append, values), time_standard_library(folder, values)
            share, statistics = measure_writing(log, values)
            assert not statistics.dropped
            assert statistics.written == statistics.appended
            bar = f"{BAR[candidates]:5.1f}" if candidates in BAR else ""
            print(f"{f'{candidates} candidates':24} {ours:7.2f} {theirs:13.2f} {ours / theirs:6.2f} {bar}")
            print(f"{'  writing, CPU share':24} {share:7.3f}   at {RATE} records per second")
            print(f"{'  statistics':24} {asdict(statistics)}")


if __name__ == "__main__":
    main()
