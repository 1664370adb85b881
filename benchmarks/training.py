"""Measure training steps by precision, instructions, threads and busy neighbours.

    python benchmarks/training.py                     # both tables, about half an hour
    python benchmarks/training.py neighbours          # steps per second of 1 and 2 threads beside busy processes
    python benchmarks/training.py precision           # processor milliseconds per step on one thread

The networks have the sizes of params.yaml and train on random rows. Every number is a median over steps of a process of
its own, because libraries choose instructions and waiting when they are loaded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from adloom import threads
from adloom.arrays import Int64Array
from adloom.config.params import load
from adloom.creatives import batches, cnn_module, cnn_net, gan_budget, gan_module, gan_net
from adloom.sequences.batches import TokenDataset
from adloom.sequences.module import SequenceModule
from adloom.stages.reader_candidates import complete_params
from adloom.tracking.memory import MemoryTracker
from adloom.training import loop
from adloom.training.session import TrainingSession

ROOT = Path(__file__).parents[1]
STAGES = ("train_gan", "train_cnn", "train_lstm")
EDGE, CATEGORIES, PICTURES, LINES = 28, 10, 2000, 2000
TOKENS = 40  # of a line at most
INSTRUCTIONS = {"native": {}, "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}
WAITING: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    "2 threads": (2, {}),
    "2 spinning threads": (2, {"GOMP_SPINCOUNT": "300000"}),  # libgomp's own default
}
ROUNDS = 3
SECONDS = 10  # of a measurement


class TimedRows:
    """Rows that note the time of each batch."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.times: list[tuple[float, float]] = []  # of the wall and of the processors

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Int64Array) -> Any:
        self.times.append((time.perf_counter(), time.process_time()))
        if self.times[-1][0] - self.times[0][0] > SECONDS and len(self.times) > 4:
            raise KeyboardInterrupt
        return self._rows[rows]


def create_training(stage: str, params: Any) -> tuple[Any, Any]:
    """Return what builds a stage's module, and its rows."""
    rng = np.random.default_rng(0)
    if stage == "train_lstm":
        lines = [rng.integers(2, params.vocabulary, rng.integers(5, TOKENS)).tolist() for _ in range(LINES)]
        return lambda: SequenceModule(params.vocabulary, 1, params), TokenDataset(lines, [4 * len(x) for x in lines])
    pixels = rng.integers(0, 256, (PICTURES, 1, EDGE, EDGE), np.uint8)
    category = rng.integers(0, CATEGORIES, PICTURES)
    if stage == "train_cnn":
        rows = batches.PictureDataset(pixels, category)
        body = cnn_net.Body(1, EDGE, complete_params(params, PICTURES, EDGE).width)
        reader = cnn_net.Reader(body, body.features, CATEGORIES, params.embedding)
        return lambda: cnn_module.ReaderModule(reader, params, np.bincount(category)), rows
    params = gan_budget.complete_params(params, gan_budget.LARGE, 1, EDGE, CATEGORIES)
    generator = gan_net.Generator(1, EDGE, CATEGORIES, params.width, params.latent)
    discriminator = gan_net.Discriminator(1, EDGE, CATEGORIES, params.width)
    rows = batches.PictureDataset(pixels, np.eye(CATEGORIES, dtype=np.float32)[category])
    return lambda: gan_module.GanModule(generator, discriminator, [CATEGORIES], params), rows


def run_steps(stage: str, precision: str, count: int) -> None:
    """Train in this process for some seconds, and print the seconds of each step as JSON."""
    changes = {"precision": precision, "threads": count, "steps_per_epoch": 330}
    params = load(ROOT / "params.yaml").trainings[stage].model_copy(update=changes)
    threads.limit_threads(count)
    build, rows = create_training(stage, params)
    timed = TimedRows(rows)
    draft: Any = None  # a training does not use it
    with tempfile.TemporaryDirectory() as folder, MemoryTracker().start_run(stage, {}, {}) as run:
        session = TrainingSession(stage, draft, run, Path(folder, "checkpoint"), progress=False)
        with suppress(KeyboardInterrupt):
            loop.fit(build, timed, params, session)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(timed.times)][1:]
    print(json.dumps(steps))


def measure(stage: str, precision: str, count: int, variables: Mapping[str, str]) -> tuple[float, float]:
    """Return the median seconds of a step, of the wall and of the processors."""
    command = [sys.executable, __file__, "--steps", stage, precision, str(count)]
    result = subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, check=True, text=True)
    wall, processors = zip(*json.loads(result.stdout.splitlines()[-1]), strict=True)
    return median(wall), median(processors)


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Run processes that never wait."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def compare_neighbours(stages: Sequence[str]) -> None:
    """Print steps per second by neighbours, threads and how these wait; medians of rounds that alternate."""
    print(f"{'stage':12} {'busy':>5} " + " ".join(f"{name:>20}" for name in WAITING))
    for stage in stages:
        for neighbours in (0, 1, 2):
            rates: dict[str, list[float]] = {name: [] for name in WAITING}
            with busy_processes(neighbours):
                for _ in range(ROUNDS):
                    for name, (count, variables) in WAITING.items():
                        rates[name].append(1 / measure(stage, "32-true", count, variables)[0])
            print(
                f"{stage:12} {neighbours:5} " + " ".join(f"{median(each):20.2f}" for each in rates.values()), flush=True
            )


def compare_precisions(stages: Sequence[str]) -> None:
    """Print CPU milliseconds per step by precision and instructions."""
    print(f"{'stage':12} {'instructions':12} {'32-true':>10} {'bf16-mixed':>10} {'ratio':>6}")
    for stage in stages:
        for name, variables in INSTRUCTIONS.items():
            single, half = (1e3 * measure(stage, precision, 1, variables)[1] for precision in ("32-true", "bf16-mixed"))
            print(f"{stage:12} {name:12} {single:10.0f} {half:10.0f} {half / single:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=["neighbours", "precision"])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--steps", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps:
        run_steps(options.steps[0], options.steps[1], int(options.steps[2]))
        return
    threads.limit_threads(1)  # the processes inherit how threads wait
    if options.table != "precision":
        compare_neighbours(options.stages)
    if options.table != "neighbours":
        compare_precisions(options.stages)


if __name__ == "__main__":
    main()
