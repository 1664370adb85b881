"""
The loop every network is trained by: seeded, checkpointed after each epoch, and resumed to the same bytes.

All randomness is a function of (seed, epoch, step): the order of the rows by `Order`, everything else by reseeding
torch before each step. Hence a run that was interrupted and resumed equals one that was not.

Several processes share every batch evenly and take the mean of their gradients (DDP). Batch norms look at the share of
their own process, for torch synchronises them on GPUs alone; the first process's running statistics are kept. Every
process judges all validation rows, so that none waits for another that has fewer.
"""

import hashlib
import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from adloom.arrays import Int64Array
from adloom.config.params import Training
from adloom.config.settings import read_kernel_variables
from adloom.context import StageContext
from adloom.errors import ConfigError, WorkerExit
from adloom.storage import manifest
from adloom.tracking.base import Run
from adloom.training import checkpoints, cpu
from adloom.training.process_group import ProcessGroup
from adloom.training.tracked_run import track_run

log = logging.getLogger(__name__)

Module = TypeVar("Module", bound=pl.LightningModule)
History = dict[str, list[list[float]]]  # {curve: [[optimizer steps so far, value], …]}, a point per epoch

SINGLE_PROCESS = ProcessGroup()
MONITOR = "validation_loss"  # what early stopping watches, logged by the module's validation_step


class BatchDataset(Protocol):
    """What a network is trained on: batches are asked for by row numbers."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, rows: Int64Array) -> Any:
        """Return the batch of these rows, as tensors; the same rows give the same batch."""
        ...


@dataclass(frozen=True)
class TrainingSession:
    """One training of one stage: where its artifact, its numbers and its checkpoint go."""

    stage: str
    made: manifest.Draft
    run: Run
    checkpoint: Path
    progress: bool
    copy: checkpoints.RemoteCheckpoint | None = None  # where the checkpoint lies as well
    group: ProcessGroup = SINGLE_PROCESS

    def describe(self, card: Mapping[str, object], history: History, params: Training) -> None:
        """Write card.json and history.json."""
        self.made.describe(card, params)
        self.made.write_json("history.json", history)


@contextmanager
def open_session(
    stage: str, table: Path, target: Path, params: Training, context: StageContext
) -> Iterator[TrainingSession]:
    """
    Yield a Session whose draft becomes the artifact `target` when the block ends; then its checkpoint is finished.

    The checkpoint lies outside of the outputs, in a folder named after the table's digest and the params, so that the
    same command goes on from it and another command does not. Raises ArtifactError when the table was changed,
    ConfigError when other processes were started than the params ask for.
    """
    if context.processes != params.processes:
        raise ConfigError(
            f"{stage}: nodes {params.nodes} and devices {params.devices} make {params.processes} processes, "
            f"torchrun started {context.processes}; start as many, or correct nodes and devices"
        )
    key = hashlib.sha256(f"{manifest.digest(table)} {params.digest()}".encode()).hexdigest()[:16]
    checkpoint, copy = (
        checkpoints.checkpoint_path(context.home, stage, key),
        checkpoints.remote_checkpoint(context, stage, key),
    )
    group = ProcessGroup(context.rank, context.processes)
    with track_run(stage, table, target, params, context) as (made, run):
        yield TrainingSession(stage, made, run, checkpoint, context.progress, copy if group.first else None, group)
    checkpoints.mark_finished(checkpoint, target, copy)


def fit(
    make: Callable[[], Module],
    rows: BatchDataset,
    params: Training,
    session: TrainingSession,
    *,
    validation: BatchDataset | None = None,
    patience: int | None = None,
) -> tuple[Module, History]:
    """
    Train the module that `make` builds, or go on from its last checkpoint; return it on the CPU, with its history.

    Every metric the module logs per epoch is in the history and goes to the session's run. With `patience`, training
    stops after that many epochs without a lower `validation_loss`, and the module returned is that of the best epoch.
    Of several processes the first returns; the others end here, by WorkerExit, which `caller.execute` expects.

    Raises KeyboardInterrupt on Ctrl-C; the checkpoint of the last full epoch stays. Raises ExternalServiceError when
    there may be a checkpoint outside of this machine that cannot be had.
    """
    if session.group.first:
        warn_of_emulation(params, session.stage)
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    module = make()
    watch = TrainingCallback(params, session, patience)
    loader = _load_batches(rows, BatchSampler(len(rows), params, session.group))
    judged = (
        _load_batches(validation, split_in_order(len(validation), params.batch_size))
        if validation is not None
        else None
    )
    with session.group.joined(), warnings.catch_warnings():
        resume = _find_resume_point(session, module)
        warnings.simplefilter("ignore")  # Lightning's advice on workers and intervals, which are chosen here
        trainer = _build_trainer(params, watch, session.group, manual=not module.automatic_optimization)
        _run_trainer(trainer, module, loader, judged, resume)
    if not session.group.first:
        raise WorkerExit
    if watch.best:
        module.load_state_dict(watch.best)
    return module.cpu().eval(), watch.history


def warn_of_emulation(params: Training, stage: str) -> None:
    """Warn when a stage trains in a precision that this CPU emulates."""
    if (
        params.precision == "32-true"
        or torch.cuda.is_available()
        or cpu.has_bf16(cpu.read_cpu(), read_kernel_variables())
    ):
        return
    log.warning(
        "%s: precision %s is emulated by this CPU and many times slower; set `%s.precision: 32-true`, its fastest",
        stage,
        params.precision,
        stage,
    )


def split_in_order(rows: int, size: int) -> list[Int64Array]:
    """Return the row numbers of each batch of `size`, all rows once, in their order."""
    return [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]


class BatchSampler(Sampler[Any]):
    """
    The row numbers of each batch of an epoch: permutations of all rows, one after the other, cut into batches.

    Where a permutation begins and ends is independent of epochs, so every row is used equally often. Of each batch a
    process of a group gets its share.
    """

    def __init__(self, rows: int, params: Training, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self.rows, self.seed, self.share = rows, params.seed, group.share(params.batch_size)
        self.steps, self.batch = params.steps_per_epoch, params.batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this, also when it resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Int64Array]:
        start = self.epoch * self.steps * self.batch
        stop = start + self.steps * self.batch
        first, last = start // self.rows, (stop - 1) // self.rows
        stream = np.concatenate([self._permutation(number) for number in range(first, last + 1)])
        offset = first * self.rows
        yield from stream[start - offset : stop - offset].reshape(self.steps, self.batch)[:, self.share]

    def _permutation(self, number: int) -> Int64Array:
        return np.random.default_rng([self.seed, number]).permutation(self.rows)


class TrainingCallback(pl.callbacks.Checkpoint):
    """Reseeds each step, keeps the history and the best weights, writes the checkpoint, shows the progress."""

    def __init__(self, params: Training, session: TrainingSession, patience: int | None) -> None:
        self._params, self._session, self._patience = params, session, patience
        self._group = session.group
        self.history: History = {}
        self.best: dict[str, torch.Tensor] = {}
        self.lowest, self.stale = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"history": self.history, "best": self.best, "lowest": self.lowest, "stale": self.stale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where a checkpoint ended, and tell the new run what was measured until then."""
        self.history, self.best = state_dict["history"], state_dict["best"]
        self.lowest, self.stale = state_dict["lowest"], state_dict["stale"]
        for name, points in self.history.items():
            for step, value in points:
                self._session.run.log_metrics({name: value}, int(step))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the progress bar, and say where a training goes on."""
        steps = self._params.steps_per_epoch
        if trainer.current_epoch and self._group.first:
            log.warning(
                "%s: goes on after epoch %d of %d", self._session.stage, trainer.current_epoch, trainer.max_epochs
            )
        if self._group.size > 1:  # Lightning's handler talks to the others, and never returns once one is gone
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._bar = tqdm(
            desc=self._session.stage,
            total=self._params.epochs * steps,
            initial=trainer.current_epoch * steps,
            disable=not self._session.progress,
            unit="step",
        )
        trainer.should_stop = self._has_stalled()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Make all randomness of this step a function of (seed, epoch, step), another in each process."""
        others = [self._group.rank] if self._group.rank else []  # of one process alone it is as it ever was
        entropy = np.random.SeedSequence([self._params.seed, trainer.current_epoch, batch_idx, *others])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Move the progress bar."""
        self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch's metrics and weights; this callback is the last one called."""
        step = (trainer.current_epoch + 1) * self._params.steps_per_epoch
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values = self._group.agreed(measured)  # unlike processors must not come to unlike decisions
        for name, value in values.items():
            self.history.setdefault(name, []).append([step, value])
        if self._patience:
            self._compare(values[MONITOR], pl_module)
        self._save(trainer)
        self._session.run.log_metrics(values, step)
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
        trainer.should_stop = self._has_stalled()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the progress bar."""
        self._bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the progress bar, so that an error has a line of its own."""
        if hasattr(self, "_bar"):
            self._bar.close()

    def _compare(self, loss: float, module: pl.LightningModule) -> None:
        self.stale += 1
        if loss < self.lowest:
            self.lowest, self.stale = loss, 0
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}

    def _has_stalled(self) -> bool:
        return self._patience is not None and self.stale >= self._patience

    def _save(self, trainer: pl.Trainer) -> None:
        path = self._session.checkpoint
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            trainer.save_checkpoint(partial)  # a meeting of all processes, of which the first writes
            if self._group.first:
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        if self._session.copy:
            last = trainer.current_epoch + 1 == self._params.epochs or self._has_stalled()
            self._session.copy.push(path, last)


def _build_trainer(params: Training, watch: TrainingCallback, group: ProcessGroup, manual: bool) -> pl.Trainer:
    several = {
        "devices": params.devices,
        "num_nodes": params.nodes,
        "strategy": DDPStrategy(find_unused_parameters=manual),  # each step of a GAN leaves the other network out
    }
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return pl.Trainer(
        accelerator="auto",
        **(several if group.size > 1 else {"devices": 1}),
        precision=params.precision,
        max_epochs=params.epochs,
        callbacks=[watch],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _run_trainer(
    trainer: pl.Trainer, module: pl.LightningModule, loader: Any, validation: Any, resume: Path | None
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader, validation, ckpt_path=resume, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C, after it has made the signal be ignored
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _load_batches(rows: BatchDataset, order: Iterable[Int64Array]) -> DataLoader[Any]:
    return DataLoader(rows, batch_size=None, sampler=order)  # type: ignore[arg-type] # row numbers come in arrays


def _find_resume_point(session: TrainingSession, module: pl.LightningModule) -> Path | None:
    """Return the checkpoint to go on from, the first process's in every process; None when there is none."""
    path = session.checkpoint
    if session.copy:
        session.copy.fetch(path)
    found = checkpoints.find_valid_checkpoint(path, module) if session.group.first else None
    if session.group.size == 1:
        return found
    content = session.group.agreed(found.read_bytes() if found else None)
    if content and not session.group.first:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path if content else None
