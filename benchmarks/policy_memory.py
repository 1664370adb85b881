"""Show that a policy's training and evaluation need memory per row, whatever the number of creatives.

    python benchmarks/policy_memory.py [ROWSxCREATIVES …]    # by default three sizes: more rows, then more creatives

The log is generated: 3 placements, 40,000 users in 6 segments, two weeks, half of them calibration. "shared" rows have
no candidates of their own, so all creatives of the placement count; "own" rows have a random list of 50 each. Prints
CPU seconds and the highest resident memory of each stage, in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from adloom.config.audience import TrainPolicy
from adloom.config.params import Evaluate
from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.registry.memory import MemoryRegistry
from adloom.stages import evaluate, train_policy
from adloom.storage import manifest, parquet
from adloom.tracking.memory import MemoryTracker

SIZES = ("200000x50", "400000x50", "400000x200")
LIST = 50  # candidates of a row
CHUNK = 20_000
OTHERS = ("audience", "creatives", "cnn", "copy")  # skipped
START = pd.Timestamp("2026-01-01", tz="UTC")
STRINGS = pd.ArrowDtype(pa.list_(pa.string()))


def generate_chunks(rows: int, creatives: int, own: bool) -> Iterator[pd.DataFrame]:
    """Yield prepared impressions in time order."""
    rng = np.random.default_rng(7)
    names = np.array([f"creative-{i:04}" for i in range(creatives)])
    taste = np.exp(rng.normal(0, 0.5, (6, creatives)))
    for start in range(0, rows, CHUNK):
        number = np.arange(start, min(start + CHUNK, rows))
        user, lists = rng.integers(40_000, size=len(number)), rng.integers(creatives, size=(len(number), LIST))
        shown = lists[:, 0]
        frame = pd.DataFrame(
            {
                "timestamp": START + pd.to_timedelta(number / rows * 14, unit="D").floor("us"),
                "user_id": np.char.mod("%064x", user),
                "placement": np.char.mod("placement-%d", rng.integers(3, size=len(number))),
                "position": 1,
                "creative_id": names[shown],
                "clicked": rng.random(len(number)) < 0.02 * taste[user % 6, shown],
                "propensity": 1 / LIST if own else 1 / creatives,
                "logging_policy": "uniform",
                "ctx_segment": np.char.mod("segment-%d", user % 6),
                "split": np.where(number < rows // 2, "calibration", "holdout"),
            }
        )
        candidates = pd.Series(names[lists].tolist() if own else [None] * len(number), dtype=STRINGS)
        yield frame.assign(candidates=candidates, outcome_at=pd.Series(pd.NaT, frame.index, "datetime64[us, UTC]"))


def write_table(folder: Path, rows: int, creatives: int, own: bool) -> None:
    with manifest.draft(folder / "impressions", "prepare", TrainPolicy(), {}) as draft:
        writer = parquet.ShardWriter(draft.path)
        for chunk in generate_chunks(rows, creatives, own):
            writer.append(chunk)
    for name in OTHERS:
        manifest.skip(folder / name, "prepare", TrainPolicy(), "not needed")


def run_stage(folder: Path, stage: str) -> None:
    """Run one stage and print the CPU seconds and the peak memory (bytes) of this process."""
    context = StageContext(
        open_store(Settings(quiet=True)),
        MemoryTracker(),
        MemoryRegistry(folder / "registry"),
        None,
        folder / "home",
        progress=False,
    )
    if stage == "train_policy":
        inputs = train_policy.Inputs(*(folder / name for name in ("impressions", *OTHERS)))
        train_policy.run(inputs, train_policy.Outputs(folder / "policy"), TrainPolicy(), context)
    else:
        paths = evaluate.Inputs(folder / "policy", folder / "impressions", folder / "audience")
        evaluate.run(paths, evaluate.Outputs(folder / "report"), Evaluate(), context)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "peak": 1024 * usage.ru_maxrss}))


def measure(folder: Path, stage: str) -> str:
    command = [sys.executable, __file__, "--stage", stage, str(folder)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return f"{result['cpu']:8.1f} s {result['peak'] / 1e9:7.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="ROWSxCREATIVES")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        return run_stage(Path(arguments.stage[1]), arguments.stage[0])
    print(f"{'rows':>9} {'creatives':>9} {'candidates':>10}  {'train_policy':>20}  {'evaluate':>20}")
    for size in arguments.sizes:
        rows, creatives = map(int, size.split("x"))
        for own in (False, True):
            with tempfile.TemporaryDirectory() as scratch:
                write_table(Path(scratch), rows, creatives, own)
                results = [measure(Path(scratch), stage) for stage in ("train_policy", "evaluate")]
            print(f"{rows:9,} {creatives:9} {'own' if own else 'shared':>10}  {'  '.join(results)}", flush=True)
    return None


if __name__ == "__main__":
    main()
