"""Measure `segment` and the evaluation of its model at growing numbers of events.

    python benchmarks/audience.py [--events 1000000 10000000]

Events are drawn on the fly with ten per user. Each stage runs in a process of its own, so its peak memory is its own.
The last column is the growth of CPU seconds against the growth of events: 1 is linear, below 1 is bounded.
"""

import argparse
import hashlib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd

from adloom.config.audience import Segment
from adloom.config.base import ConfigModel
from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.registry.memory import MemoryRegistry
from adloom.stages import measure, segment
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

USERS_PER_SHARD, EVENTS_PER_USER, DAY = 2_000, 10, 86_400
START, HOLDOUT = pd.Timestamp("2025-01-01", tz="UTC"), pd.Timestamp("2026-01-01", tz="UTC")


def draw_events(rng: np.random.Generator, first: int) -> pd.DataFrame:
    """Return prepared events of USERS_PER_SHARD users with numbers from `first`, over 540 days."""
    counts = 1 + rng.poisson((EVENTS_PER_USER - 1) * rng.gamma(0.5, 2.0, USERS_PER_SHARD))
    user = np.repeat(np.arange(USERS_PER_SHARD), counts)
    begin = rng.integers(0, 90 * DAY, USERS_PER_SHARD)[user]
    seconds = begin + (rng.random(len(user)) * (540 * DAY - begin)).astype(np.int64)
    times = (START + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us, UTC]")
    names = np.array([hashlib.sha256(b"%d" % (first + i)).hexdigest()[:32] for i in range(USERS_PER_SHARD)])
    return pd.DataFrame(
        {
            "user_id": names[user],
            "timestamp": times,
            "event": "purchase",
            "value": rng.gamma(2, 15, len(user)).round(2),
            "split": np.where(times < HOLDOUT, "calibration", "holdout"),
            "half": np.where(user % 2, "a", "b"),
        }
    ).sample(frac=1, random_state=first)


def write_events(folder: Path, events: int) -> None:
    """Write a prepared table of about this many events."""
    rng = np.random.default_rng(7)
    with manifest.draft(folder, "prepare", ConfigModel(), {}) as draft:
        shards = parquet.ShardWriter(draft.path)
        for first in range(0, events // EVENTS_PER_USER, USERS_PER_SHARD):
            shards.append(draw_events(rng, first))
        draft.rows = {"rows": shards.rows}


def run_segment(table: Path, model: Path) -> None:
    """Run the stage."""
    home = model.parent
    context = StageContext(FolderStore(), MemoryTracker(), MemoryRegistry(home), None, home, progress=False)
    segment.run(segment.Inputs(table), segment.Outputs(model), Segment(), context)


def run_evaluation(table: Path, model: Path) -> None:
    """Measure the model."""
    measure.measure(model, table, model, Evaluate())


def time_process(task: Callable[[Path, Path], None], table: Path, model: Path) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory in MB of a task in a fresh process."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    start = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(sender, task, table, model))
    process.start()
    cpu, memory = receiver.recv()
    process.join()
    return time.perf_counter() - start, cpu, memory


def _report(sender: Connection, task: Callable[..., None], *paths: Path) -> None:
    task(*paths)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    arguments = parser.parse_args()
    before: dict[str, tuple[int, float]] = {}
    print(f"{'stage':<12}{'events':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'growth':>8}")
    for events in arguments.events:
        with tempfile.TemporaryDirectory(prefix="audience-") as folder:
            table, model = Path(folder, "events"), Path(folder, "model")
            write_events(table, events)
            for name, task in (("segment", run_segment), ("evaluate", run_evaluation)):
                wall, cpu, memory = time_process(task, table, model)
                count, seconds = before.get(name, (events, cpu))
                growth = (cpu / seconds) / (events / count)
                print(f"{name:<12}{events:>12,}{wall:>9.1f}{cpu:>9.1f}{memory:>9.0f}{growth:>8.2f}", flush=True)
                before[name] = events, cpu


if __name__ == "__main__":
    main()
