"""What a record of the decision log costs the process that answers, and what writing it costs beside that.

    python benchmarks/decision_log.py

append: µs from a record to its being taken (encoded, counted and put into the buffer), median of 20 rounds; the peer is
the same line written by the standard library (json.dumps, then write and flush). writing: CPU seconds of the writer's
and the shipper's threads (write, compress, name, copy to a folder) for each second of 2,000 records at a steady rate.
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
RATE, SECONDS = 2000, 5  # records a second, for so long
LIMITS = Limits(flush=0.1, buffer=64 << 20, segment=4 << 20, rotation=60, disk=1 << 30)


def records(candidates: int) -> list[Decision]:
    """Return records as a service would log them, all different."""
    names = [f"creative-{number:05}" for number in range(candidates)]
    return [_record(names) for _ in range(RECORDS)]


def _record(names: list[str]) -> Decision:
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


def per_record(take: Callable[[Decision], object], values: list[Decision]) -> float:
    """Return the median time of taking a record, µs."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for record in values:
            take(record)
        rounds.append((time.perf_counter() - begun) / len(values) * 1e6)
        time.sleep(0.15)  # until the writer has done its part, which is measured apart
    return median(rounds)


def by_hand(folder: Path, values: list[Decision]) -> float:
    """Return the same of the standard library, written and flushed at once."""
    with (folder / "peer.jsonl").open("w", encoding="utf-8") as stream:

        def take(record: Decision) -> None:
            stream.write(json.dumps(structs.asdict(record)) + "\n")
            stream.flush()

        return per_record(take, values)


def writing(log: DecisionLog, values: list[Decision]) -> tuple[float, LogStatistics]:
    """Return the share of a CPU that the log's threads take at a steady rate, and what became of the records."""
    begun, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    for number in range(RATE * SECONDS):
        wait = begun + number / RATE - time.perf_counter()
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
            values = records(candidates)
            log = DecisionLog(folder / str(candidates), "shop", LIMITS, FolderObjectStore(str(folder / "remote")))
            ours, theirs = per_record(log.append, values), by_hand(folder, values)
            share, numbers = writing(log, values)
            assert not numbers.dropped
            assert numbers.written == numbers.appended
            bar = f"{BAR[candidates]:5.1f}" if candidates in BAR else ""
            print(f"{f'{candidates} candidates':24} {ours:7.2f} {theirs:13.2f} {ours / theirs:6.2f} {bar}")
            print(f"{'  writing, CPU share':24} {share:7.3f}   at {RATE} records a second")
            print(f"{'  numbers':24} {asdict(numbers)}")


if __name__ == "__main__":
    main()
