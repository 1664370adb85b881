"""Measure processor seconds and peak memory of the picture stages by the pictures' size.

    python benchmarks/memory.py                            # 4,000 colour pictures of 28, 64 and 128 pixels
    python benchmarks/memory.py --sizes 28 --width 8 --pictures 10000 1000000 --stages train-gan train-cnn

Trainings take two steps; the gan's evaluation generates 2,000 pictures. Each stage is a process of its own. The last
column is the memory above that of the first number of pictures, which holds libraries and nets.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from adloom.config.sources import Source
from adloom.creatives import pictures
from adloom.storage import manifest, parquet

ROOT = Path(__file__).parents[1]
TABLE = "data/dataset/creatives"
EVALUATE = ["evaluate", "--table", TABLE]
STAGES = {
    "train-cnn": ["train-cnn"],
    "train-gan": ["train-gan"],
    "evaluate cnn": [*EVALUATE, "--model", "models/cnn", "--report", "reports/cnn"],
    "evaluate gan": [*EVALUATE, "--model", "models/gan", "--report", "reports/gan", "--judge", "models/cnn"],
}
SPLITS = ("train",) * 8 + ("validation", "test")
CATEGORIES = 10
ROWS = 1000  # written at once


def write_table(folder: Path, number: int, size: int) -> None:
    """Write a table of random colour pictures, which compress little; the same ROWS again and again."""
    rng = np.random.default_rng(0)
    pngs = pictures.encode_pngs(rng.integers(0, 256, (ROWS, 3, size, size), np.uint8))
    with manifest.draft(folder / TABLE, "prepare", Source(uri="benchmark"), {}) as draft:
        shards = parquet.ShardWriter(draft.path)
        for start in range(0, number, ROWS):
            numbers = np.arange(start, min(start + ROWS, number))
            frame = {
                "creative_id": [f"creative-{n}" for n in numbers],
                "category": [f"category-{n}" for n in numbers % CATEGORIES],
                "split": [SPLITS[n] for n in numbers // CATEGORIES % len(SPLITS)],
                "image": pngs[: len(numbers)],
                "width": size,
                "height": size,
                "channels": 3,
            }
            shards.append(pd.DataFrame(frame))
        draft.facts.update(source="a benchmark", licence="CC0")


def write_params(folder: Path, width: int) -> None:
    """Write the shipped params with short trainings of nets of this width."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for stage in ("train_gan", "train_cnn"):
        params[stage] |= {"epochs": 1, "steps_per_epoch": 2, "width": width}
    params["evaluate"] |= {"gan_samples": 2000}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def measure(folder: Path, arguments: list[str]) -> tuple[float, float]:
    """Return a command's processor seconds and its peak memory in MB. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "adloom", *arguments]
    environment = os.environ | {"CI": "true"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[28, 64, 128], help="edges of the pictures in pixels")
    parser.add_argument("--pictures", nargs="+", type=int, default=[4000])
    parser.add_argument(
        "--width", type=int, default=0, help="of the nets; small ones show what pictures cost, 0 follows the size"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    options = parser.parse_args()
    print(f"{'pixels':>6} {'pictures':>8} {'stage':13} {'CPU s':>7} {'peak MB':>8} {'above':>6}")
    first: dict[tuple[int, str], float] = {}
    for size, number in product(options.sizes, options.pictures):
        with tempfile.TemporaryDirectory() as name:
            write_table(Path(name), number, size)
            write_params(Path(name), options.width)
            for stage in options.stages:
                seconds, megabytes = measure(Path(name), STAGES[stage])
                above = megabytes - first.setdefault((size, stage), megabytes)
                print(f"{size:6} {number:8} {stage:13} {seconds:7.1f} {megabytes:8.0f} {above:6.0f}", flush=True)


if __name__ == "__main__":
    main()
