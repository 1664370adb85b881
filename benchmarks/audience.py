"""Compare features, increments and segments with their peers, at growing numbers of events.

    python benchmarks/audience.py                           # all tables, 10 M events
    python benchmarks/audience.py features --events 1000000 # features, assignment, increment, stages, kmeans, scale
    pip install polars faiss-cpu                            # peers

Events are drawn on the fly with ten per user, in CDNOW's shape. Each task runs on one thread in a process of its own,
so its CPU seconds and peak memory are its own; rounds alternate, and numbers are medians. `ratio` is the peer's CPU
seconds against ours: above 1, ours is faster.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import audience_features  # type: ignore[import-not-found] # of this folder
import audience_kmeans  # type: ignore[import-not-found]
import audience_scale  # type: ignore[import-not-found]
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter
from adloom.config.audience import Segment
from adloom.config.base import ConfigModel
from adloom.config.params import Evaluate
from adloom.context import StageContext
from adloom.data.privacy import make_pseudonymiser
from adloom.registry.memory import MemoryRegistry
from adloom.stages import measure, segment, segment_users
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderObjectStore, FolderStore
from adloom.tracking.memory import MemoryTracker

USERS_PER_SHARD, EVENTS_PER_USER, DAY = 2_000, 10, 86_400
ROWS_PER_GROUP = 250_000  # of the table of features
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


def write_day(folder: Path, events: int, users: int) -> None:
    """Write a prepared table of events of known users on the day after all others."""
    rng = np.random.default_rng(8)
    names = [hashlib.sha256(b"%d" % user).hexdigest()[:32] for user in rng.integers(0, users, events)]
    times = START + pd.to_timedelta(540 * DAY + rng.integers(0, DAY, events), unit="s")
    rows = {"user_id": names, "timestamp": times.astype("datetime64[us, UTC]"), "event": "purchase"}
    rows |= {"value": rng.gamma(2, 15, events).round(2), "split": "holdout", "half": "a"}
    with manifest.draft(folder, "prepare", ConfigModel(), {}) as draft:
        parquet.write(pd.DataFrame(rows), draft.path)


def run_segment(table: Path, model: Path) -> None:
    """Run the stage."""
    home = model.parent
    context = StageContext(FolderStore(), MemoryTracker(), MemoryRegistry(home), None, home, progress=False)
    segment.run(segment.Inputs(table), segment.Outputs(model), Segment(), context)


def run_evaluation(table: Path, model: Path) -> None:
    """Measure the model."""
    measure.measure(model, table, model, Evaluate())


@dataclass(frozen=True)
class Cost:
    """What a task took in a process of its own."""

    wall: float  # seconds
    cpu: float  # seconds
    memory: float  # peak in MB


Task = Callable[..., object]


def time_process(task: Task, *arguments: object) -> Cost:
    """Run a task of a module's top level in a fresh process."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(sender, task, arguments))
    process.start()
    sender.close()
    cost: Cost = receiver.recv()
    process.join()
    return cost


def _report(sender: Connection, task: Task, arguments: Sequence[object]) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    task(*arguments)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sender.send(Cost(time.perf_counter() - start, time.process_time() - cpu, memory))


@dataclass(frozen=True)
class Peer:
    """A task that does the same as ours, and the least ratio of its CPU seconds to ours that is expected."""

    name: str
    task: Task
    bar: float


def compare(row: str, ours: Task, peers: Sequence[Peer], arguments: Sequence[object], rounds: int = 3) -> None:
    """Print a line per peer: CPU seconds of ours and theirs, their ratio, and whether it reaches the bar."""
    costs: dict[str, list[Cost]] = {name: [] for name in ("ours", *(peer.name for peer in peers))}
    for _ in range(rounds):
        costs["ours"].append(time_process(ours, *arguments))
        for peer in peers:
            costs[peer.name].append(time_process(peer.task, *arguments))
    cpu = {name: median(cost.cpu for cost in all_costs) for name, all_costs in costs.items()}
    peak = {name: median(cost.memory for cost in all_costs) for name, all_costs in costs.items()}
    print(f"{'row':<26}{'peer':<22}{'ours s':>9}{'theirs s':>10}{'ratio':>8}{'bar':>7}  {'MB ours':>8}{'theirs':>8}")
    for peer in peers:
        ratio = cpu[peer.name] / cpu["ours"]
        verdict = "met" if ratio >= peer.bar else "missed"
        numbers = f"{cpu['ours']:>9.2f}{cpu[peer.name]:>10.2f}{ratio:>8.2f}{peer.bar:>7g}"
        print(f"{row:<26}{peer.name:<22}{numbers}  {peak['ours']:>8.0f}{peak[peer.name]:>8.0f}  {verdict}", flush=True)


def measure_features(table: Path, _: int) -> None:
    """All features of every user, written as Parquet, against the same features by hand."""
    peers = [
        Peer("pandas groupby", audience_features.run_pandas, 10),
        Peer("Polars", audience_features.run_polars, 1),
        Peer("DuckDB SQL", audience_features.run_duckdb, 1),
    ]
    compare("events -> features", audience_features.run_ours, peers, [table, table.parent / "features"])


def measure_increment(table: Path, events: int) -> None:
    """A day of 1 % new events, against all features of all events."""
    home = table.parent
    day = home / "day"
    write_day(day, events // 100, events // EVENTS_PER_USER)
    audience_features.count_events(table, home / "state")
    print(f"state: {sum(f.stat().st_size for f in (home / 'state').rglob('*.parquet')) / 1e6:.0f} MB")
    peers = [Peer("full recompute", audience_features.recompute_features, 20)]
    compare("1 % new events", audience_features.add_day, peers, [table, day, home / "state"])
    compare("the same, features of all", audience_features.add_day_and_write, peers, [table, day, home / "state"])


def write_features(folder: Path, users: int) -> None:
    """Write a model of eight segments, and a table of user_id and FEATURES."""
    rng = np.random.default_rng(7)
    scale = FeatureScale(np.full(5, 9.0), np.full(5, 2.0), np.ones(5))
    names = tuple(f"segment-{i}" for i in range(1, 9))
    with manifest.draft(folder.parent / "segments", "segment", ConfigModel(), {}) as draft:
        Segmenter(scale, rng.normal(size=(8, 5)), np.arange(8), names).save(draft.path / "segmenter.npz")
    folder.mkdir()
    schema = pa.schema([("user_id", pa.string()), *((name, pa.float64()) for name in FEATURES)])
    with pq.ParquetWriter(folder / "features.parquet", schema, compression="zstd") as writer:
        for first in range(0, users, ROWS_PER_GROUP):
            count = min(ROWS_PER_GROUP, users - first)
            ids = np.frombuffer(rng.bytes(16 * count), "S16")
            columns = [pa.array([user.ljust(16, b"0").hex() for user in ids.tolist()])]
            columns += [pa.array(rng.gamma(0.5, 60, count).round(2)) for _ in FEATURES]
            writer.write_table(pa.table(columns, schema=schema))


def assign_table(table: Path, target: Path) -> None:
    """Run `adloom segment-users`."""
    shutil.rmtree(target, ignore_errors=True)
    source = segment_users.FeatureTable.open(str(table), FolderStore())
    segment_users.segment_users(source, FolderObjectStore(str(target)), table.parent / "segments")


def copy_table(table: Path, target: Path) -> None:
    """Copy the columns that an assignment reads."""
    target.mkdir(exist_ok=True)
    with (
        pq.ParquetFile(table / "features.parquet") as file,
        pq.ParquetWriter(target / "copy.parquet", file.schema_arrow, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(segment_users.ROWS_AT_A_TIME):
            writer.write_batch(batch)


def measure_assignment(table: Path, users: int) -> None:
    """Assignment of users, Parquet to Parquet, and of one user by id, as `/v1/decide` looks it up."""
    features = table.parent / "users"
    write_features(features, users)
    compare(
        "users -> segments", assign_table, [Peer("Parquet copy", copy_table, 0.5)], [features, table.parent / "out"]
    )
    pseudonym, names = make_pseudonymiser(b"a key of the benchmark"), [str(i) for i in range(min(users, 1_000_000))]
    members = SegmentIndex.build([pseudonym(name) for name in names], np.arange(len(names)) % 8, tuple("abcdefgh"))
    rows = np.random.default_rng(1).choice(names, 100_000).tolist()
    members.find_one(pseudonym("0"))
    for title, prefix in (("known", ""), ("unseen", "unseen ")):
        start = time.process_time()
        for row in rows:
            members.find_one(pseudonym(prefix + row))
        microseconds = (time.process_time() - start) / len(rows) * 1e6
        print(f"{'one user, ' + title:<26}{microseconds:>9.2f} µs, bar 20: {'met' if microseconds <= 20 else 'missed'}")


def measure_stages(table: Path, events: int) -> None:
    """The stage `segment` and the evaluation of its model."""
    print(f"{'stage':<12}{'events':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'µs/event':>10}")
    for name, task in (("segment", run_segment), ("evaluate", run_evaluation)):
        cost = time_process(task, table, table.parent / "model")
        numbers = f"{cost.wall:>9.1f}{cost.cpu:>9.1f}{cost.memory:>9.0f}{cost.cpu / events * 1e6:>10.2f}"
        print(f"{name:<12}{events:>12,}{numbers}", flush=True)


TABLES: dict[str, Callable[[Path, int], None]] = {
    "features": measure_features,
    "assignment": measure_assignment,
    "increment": measure_increment,
    "stages": measure_stages,
    "kmeans": audience_kmeans.measure_kmeans,
    "scale": audience_scale.measure_scale,
}
PEERS = {"features": "polars", "kmeans": "faiss"}  # modules that adloom does not install
OWN_DATA = {"assignment", "kmeans", "scale"}  # tables that read no prepared events


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=list(TABLES))
    parser.add_argument("--events", type=int, default=10_000_000)
    arguments = parser.parse_args()
    missing = [PEERS[name] for name in arguments.tables if name in PEERS and find_spec(PEERS[name]) is None]
    if missing:
        parser.error(f"{' and '.join(missing)}: not installed; run `pip install polars faiss-cpu`")
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    with tempfile.TemporaryDirectory(prefix="audience-") as folder:
        table = Path(folder, "events")
        if {*arguments.tables} - OWN_DATA:
            write_events(table, arguments.events)
        for name in arguments.tables:
            TABLES[name](table, arguments.events)


if __name__ == "__main__":
    main()
