"""Compare our training with a bare PyTorch loop, and with the Keras DCGAN program's loop.

    python benchmarks/training_peers.py                # both tables, about 15 minutes
    python benchmarks/training_peers.py bare           # our Lightning modules against a bare loop of the same nets
    python benchmarks/training_peers.py keras          # TensorFlow is installed into .venv-keras
    python benchmarks/training_peers.py processes      # one process of 2 threads, and two of 1 thread under torchrun
    python benchmarks/training_peers.py layouts        # memory layout and torch.compile

Rounds alternate. Numbers are per CPU second, because other processes on the machine hardly change them, and medians.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
import training  # type: ignore[import-not-found] # of this folder
from torch import nn
from torch.nn import functional

from adloom import threads
from adloom.arrays import Int64Array
from adloom.config.params import TrainGan, load
from adloom.config.training import Training
from adloom.errors import WorkerExit
from adloom.tracking.memory import MemoryTracker
from adloom.training import loop
from adloom.training.process_group import ProcessGroup
from adloom.training.session import TrainingSession

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv-keras"
STEPS, WARM_UP = 25, 3
TIMED = WARM_UP + STEPS + 1  # batches, the last of which ends the last step
UNITS = {"train_gan": "images", "train_cnn": "images", "train_lstm": "tokens"}
Seconds = tuple[float, float]  # of the wall and of the processors


class TimedRows:
    """Rows that add up the time of their own work, and note the time of each batch."""

    def __init__(self, rows: Any) -> None:
        self._rows, self.times, self.loading = rows, list[Seconds](), 0.0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Int64Array) -> Any:
        self.times.append(now())
        batch = self._rows[rows]
        if len(self.times) > WARM_UP:
            self.loading += time.process_time() - self.times[-1][1]
        return batch


class Dcgan(pl.LightningModule):
    """The nets of keras_dcgan.py under our loop."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        up = [self._widen(256, 128, 1), self._widen(128, 64, 2), nn.ConvTranspose2d(64, 1, 5, 2, 2, 1, bias=False)]
        begin = [nn.Linear(100, 7 * 7 * 256, bias=False), nn.BatchNorm1d(7 * 7 * 256), nn.LeakyReLU(0.3)]
        self.generator = nn.Sequential(*begin, nn.Unflatten(1, (256, 7, 7)), *up, nn.Tanh())
        down = [layer for a, b in ((1, 64), (64, 128)) for layer in self._narrow(a, b)]
        self.discriminator = nn.Sequential(*down, nn.Flatten(), nn.Linear(7 * 7 * 128, 1))
        self.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(net.parameters(), 1e-4) for net in (self.discriminator, self.generator)]

    def training_step(self, batch: Any, _: int) -> dict[str, torch.Tensor]:
        picture, ones = batch[0].contiguous(memory_format=torch.channels_last), torch.ones(len(batch[0]), 1)
        generated = self.generator(torch.randn(len(picture), 100))
        scores = self.discriminator(torch.cat([picture, generated.detach()]))
        truth = torch.cat([ones, torch.zeros_like(ones)])
        loss = functional.binary_cross_entropy_with_logits(scores, truth)
        self._step(0, loss)
        self.discriminator.requires_grad_(requires_grad=False)
        fooled = functional.binary_cross_entropy_with_logits(self.discriminator(generated), ones)
        self._step(1, fooled)
        self.discriminator.requires_grad_(requires_grad=True)
        losses = {"discriminator_loss": loss.detach(), "generator_loss": fooled.detach()}
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=len(picture))
        return losses

    def _step(self, which: int, loss: torch.Tensor) -> None:
        optimizer: Any = self.optimizers()[which]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    @staticmethod
    def _widen(before: int, after: int, stride: int) -> nn.Module:
        up = nn.ConvTranspose2d(before, after, 5, stride, 2, stride - 1, bias=False)
        return nn.Sequential(up, nn.BatchNorm2d(after), nn.LeakyReLU(0.3))

    @staticmethod
    def _narrow(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 5, 2, 2), nn.LeakyReLU(0.3), nn.Dropout(0.3)]


def now() -> Seconds:
    """Return the time of the wall and of this process."""
    return time.perf_counter(), time.process_time()


def per_step(begin: Seconds, end: Seconds, steps: int) -> Seconds:
    """Return the seconds of a step."""
    return (end[0] - begin[0]) / steps, (end[1] - begin[1]) / steps


def train_bare(module: Any, rows: Any, params: Training) -> Seconds:
    """Train a module without Lightning, on batches in memory."""
    order = loop.split_in_order(len(rows), params.batch_size)[:-1]
    batches_in_memory = [rows[numbers] for numbers in order]
    module.log = module.log_dict = lambda *_, **__: None
    configured = module.configure_optimizers()
    schedule = None
    if module.automatic_optimization:
        optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    else:
        module.optimizers, module.manual_backward = lambda: configured, lambda loss: loss.backward()
    clips = type(module).configure_gradient_clipping is not pl.LightningModule.configure_gradient_clipping
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            begin = now()
        loss = module.training_step(batches_in_memory[step % len(order)], step)
        if schedule is not None:
            optimizer.zero_grad()
            loss.backward()
            if clips:
                module.configure_gradient_clipping(optimizer)
            optimizer.step()
            schedule.step()
    return per_step(begin, now(), STEPS)


def train_ours(build: Any, rows: Any, params: Training, group: ProcessGroup | None = None) -> tuple[Seconds, float]:
    """Train a module by our loop; return the seconds of a step and the share of its loading."""
    timed: Any = TimedRows(rows)
    draft: Any = None  # a training does not use it
    with tempfile.TemporaryDirectory() as folder, MemoryTracker().start_run("benchmark", {}, {}) as run:
        session: Any = TrainingSession(
            "benchmark",
            draft,
            run,
            Path(folder, "last.ckpt"),
            progress=False,
            group=group or ProcessGroup(),
        )
        try:
            _, history = loop.fit(build, timed, params, session)
            print({name: round(points[-1][1], 4) for name, points in history.items()}, file=sys.stderr)
        except WorkerExit:
            pass
    begin, end = timed.times[WARM_UP], timed.times[WARM_UP + STEPS]
    return per_step(begin, end, STEPS), timed.loading / (end[1] - begin[1])


def read_params(stage: str, count: int) -> Training:
    """Return the shipped params of a stage, for a short training."""
    changes = {"threads": count, "epochs": 1, "steps_per_epoch": TIMED}
    return load(ROOT / "params.yaml").trainings[stage].model_copy(update=changes)


def count_units(stage: str, rows: Any, params: Training) -> float:
    """Return the pictures or tokens of a batch."""
    if stage != "train_lstm":
        return params.batch_size
    return float(rows.real[:, 1:].sum()) / len(rows) * params.batch_size


def compare_bare(count: int, rounds: int) -> None:
    """Print our units per CPU second and those of a bare loop."""
    print(f"{'stage':12} {'unit':7} {'bare /s':>9} {'ours /s':>9} {'ratio':>6} {'loading':>8}")
    for stage, unit in UNITS.items():
        threads.limit_threads(count)
        torch.set_num_threads(count)
        params = read_params(stage, count)
        measured = []
        for _ in range(rounds):
            build, rows = training.create_training(stage, params)
            measured.append((train_bare(build(), rows, params), *train_ours(build, rows, params)))
        size = count_units(stage, rows, params)
        bare, ours, ratio, loading = (
            median(values)
            for values in zip(
                *((size / b[1], size / o[1], b[1] / o[1], share) for b, o, share in measured), strict=True
            )
        )
        print(f"{stage:12} {unit:7} {bare:9.0f} {ours:9.0f} {ratio:6.2f} {loading:8.1%}", flush=True)


def compare_keras(count: int, rounds: int) -> None:
    """Print images per CPU second of our loop and of the Keras program's, of batches and of single images."""
    python = VENV / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "tensorflow-cpu"], check=True)
    torch.set_num_threads(count)
    rows = training.create_training("train_cnn", read_params("train_cnn", count))[1]
    params = TrainGan(epochs=1, steps_per_epoch=TIMED, batch_size=64, learning_rate=1e-4, threads=count)
    print(f"{'batch':>6} {'Keras':>8} {'ours, 64':>9} {'ratio':>6}   images per CPU second; of the wall")
    for batch in (64, 1):
        command = [str(python), str(ROOT / "benchmarks/keras_dcgan.py"), str(batch), str(STEPS), str(count)]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        theirs = [[batch / seconds for seconds in each] for each in json.loads(printed.splitlines()[-1])]
        own = [[64 / seconds for seconds in train_ours(Dcgan, rows, params)[0]] for _ in range(rounds)]
        for kind in (1, 0):
            keras, ours = (median(each[kind] for each in rates) for rates in (theirs, own))
            print(f"{batch:6} {keras:8.0f} {ours:9.0f} {ours / keras:6.1f}   {('wall', 'CPU')[kind]}", flush=True)


def compare_processes(stages: list[str]) -> None:
    """Print steps per second of one process of two threads, and of two processes of one thread."""
    for stage in stages:
        for arguments in (["--nproc-per-node", "1"], ["--nproc-per-node", "2"]):
            command = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                *arguments,
                __file__,
                "--rank",
                stage,
            ]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def run_rank(stage: str) -> None:
    """Train in this process of a group, and print its steps per second."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    count = 2 // size
    threads.limit_threads(count)
    params = read_params(stage, count).model_copy(update={"devices": size})
    build, rows = training.create_training(stage, params)
    wall, processors = train_ours(build, rows, params, ProcessGroup(rank, size))[0]
    if not rank:
        print(
            f"{stage:12} {size} x {count} threads: {1 / wall:6.2f} steps/s, {1e3 * processors:6.0f} CPU ms", flush=True
        )


def compare_layouts(stages: list[str], rounds: int) -> None:
    """Print CPU milliseconds per step on one thread by memory layout and compilation, each in alternating rounds."""
    kinds = {"plain": (False, False), "channels last": (True, False), "channels last, compiled": (True, True)}
    print(f"{'stage':12} " + " ".join(f"{name:>24}" for name in kinds))
    for stage in stages:
        torch.set_num_threads(1)
        costs: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, (last, compiled) in kinds.items():
                params = read_params(stage, 1)
                if "channels_last" in type(params).model_fields:
                    params = params.model_copy(update={"channels_last": last})
                build, rows = training.create_training(stage, params)

                def build_compiled(build: Any = build, compiled: bool = compiled) -> Any:
                    module = build()
                    for net in module.children() if compiled else ():
                        net.compile()
                    return module

                costs[name].append(train_ours(build_compiled, rows, params)[0][1])
        print(f"{stage:12} " + " ".join(f"{1e3 * median(each):24.0f}" for each in costs.values()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=["bare", "keras", "processes", "layouts"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--stages", nargs="+", choices=list(UNITS), default=list(UNITS), help="of processes and layouts"
    )
    parser.add_argument("--rank", choices=list(UNITS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        run_rank(options.rank)
        return
    tables = [options.table] if options.table else ["bare", "keras"]
    if "bare" in tables:
        compare_bare(options.threads, options.rounds)
    if "keras" in tables:
        compare_keras(options.threads, options.rounds)
    if "processes" in tables:
        compare_processes(options.stages)
    if "layouts" in tables:
        compare_layouts(options.stages, options.rounds)


if __name__ == "__main__":
    main()
