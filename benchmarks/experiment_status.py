"""Measure the time and memory of `adloom experiment status` on a log of a million decisions.

    python benchmarks/experiment_status.py [--decisions 1000000]

1,000 decisions per second by 200,000 users, with a click per fifty. The first look reads the whole log, the second
one, of another process, a new minute.
"""

import argparse
import gzip
import hashlib
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from adloom.decision_log.arm_counts import ArmCounter
from adloom.decision_log.record import Decision, Feedback, Header, encode
from adloom.decision_log.segment_file import format_day
from adloom.experiments.analysis import analyse
from adloom.experiments.definition import Experiment, parse_arms
from adloom.storage.local import FolderStore

PER_SECOND, SEGMENT_SECONDS, USERS = 1000, 60, 200_000
START = 1_767_225_600_000_000  # µs
NAMES = [f"creative-{i:02}" for i in range(20)]
ARMS = parse_arms("champion=80,challenger=15,control=5", {"champion": 1, "challenger": 2}.__getitem__)
EXPERIMENT = Experiment(name="benchmark", key="ab" * 16, started=START, arms=ARMS)


@dataclass(frozen=True)
class Look:
    """The cost of a look."""

    decisions: int
    seconds: float  # of the CPU
    analysis: float  # of these, after the log was read
    memory: float  # peak, MB


def write_minute(log: Path, minute: int, rng: np.random.Generator) -> None:
    """Write a segment."""
    opened = START + minute * SEGMENT_SECONDS * 1_000_000
    lines = [encode(Header(time=opened, project="shop", process=f"{minute:032x}", number=0, records=0))]
    for row in range(PER_SECOND * SEGMENT_SECONDS):
        moment, user = opened + row * 1_000_000 // PER_SECOND, int(rng.integers(USERS))
        arm, identity = ARMS[0 if user % 100 < 80 else 1 if user % 100 < 95 else 2], rng.bytes(16).hex()
        lines.append(
            encode(
                Decision(
                    time=moment,
                    decision_id=identity,
                    project="shop",
                    user=hashlib.md5(b"%d" % user).hexdigest(),
                    user_key="b" * 16,
                    placement="top",
                    candidates=NAMES,
                    probabilities=[0.05] * 20,
                    chosen=[NAMES[0]],
                    propensities=[0.05],
                    tier="model",
                    elapsed_us=300,
                    experiment=EXPERIMENT.name,
                    arm=arm.name,
                    arm_probability=arm.share,
                )
            )
        )
        if row % 50 == 0:
            lines.append(encode(Feedback(time=moment, decision_id=identity, creative_id=NAMES[0], kind="click")))
    packed = gzip.compress(b"\n".join(lines) + b"\n", 1)
    folder = log / "shop" / format_day(START)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha256(packed).hexdigest()}.jsonl.gz").write_bytes(packed)


def look(log: Path) -> Look:
    """Return the cost of a look at the log, as `adloom experiment status` takes it."""
    counter = ArmCounter(EXPERIMENT, str(log), "shop", FolderStore(), log / "counts.npz")
    counts = counter.update(START)
    read = time.process_time()
    analyse(EXPERIMENT, counts)
    memory = find_peak_memory()
    return Look(int(counts.decisions.sum()), time.process_time(), time.process_time() - read, memory)


def find_peak_memory() -> float:
    """Return the peak of this process in MB; `getrusage` would begin with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print the cost of looks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    minutes = parser.parse_args().decisions // (PER_SECOND * SEGMENT_SECONDS)
    rng = np.random.default_rng(0)
    print("| look | decisions | CPU s | of these analysis | peak memory, MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="adloom-status-") as folder:
        for minute in range(minutes):
            write_minute(Path(folder), minute, rng)
        for name in ("first", "second"):
            with get_context("spawn").Pool(1) as pool:
                result = pool.apply(look, (Path(folder),))
            cost = f"{result.seconds:.1f} | {result.analysis:.1f} | {result.memory:.0f}"
            print(f"| {name} | {result.decisions:,} | {cost} |", flush=True)
            write_minute(Path(folder), minutes, rng)


if __name__ == "__main__":
    main()
