"""
The training loop of every network: seeded, checkpointed after each epoch, and resumed to the same bytes.

All randomness is a function of (seed, epoch, step), so an interrupted and resumed training equals an uninterrupted one.

Several processes share every batch and average their gradients (DDP). Batch norms use their own process's share,
because torch synchronises them on GPUs only. Every process validates all rows, so that none waits for another.
"""

import io
import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader
from tqdm import tqdm

from adloom.arrays import Int64Array
from adloom.config.settings import read_kernel_variables
from adloom.config.training import Training
from adloom.errors import ConfigError, WorkerExit
from adloom.training import checkpoints, cpu
from adloom.training.batch_sampler import BatchSampler
from adloom.training.process_group import ProcessGroup
from adloom.training.session import History, TrainingSession

log = logging.getLogger(__name__)

Module = TypeVar("Module", bound=pl.LightningModule)
EpochHook = Callable[[Any, int], None]  # (module, optimizer steps so far)

MONITOR = "validation_loss"  # watched by early stopping unless a stage names another metric


class BatchDataset(Protocol):
    """Training data, indexed by arrays of row numbers."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, rows: Int64Array) -> Any:
        """Return the batch of these rows as tensors; equal rows give equal batches."""
        ...


def fit(
    build_module: Callable[[], Module],
    rows: BatchDataset,
    params: Training,
    session: TrainingSession,
    *,
    validation: BatchDataset | None = None,
    patience: int | None = None,
    monitor: str = MONITOR,
    tolerance: float = 0,
    on_epoch: EpochHook | None = None,
) -> tuple[Module, History]:
    """
    Train the module that `build_module` returns, or resume it; return it on the CPU, with its history.

    With `patience`, training stops after that many epochs without a lower value of the logged metric `monitor` and
    returns the module of the last epoch with the lowest value, or one above it by at most this share (`tolerance`).
    Only the first process returns; the others raise WorkerExit.

    `on_epoch(module, step)` runs in the first process after each epoch's checkpoint, with the optimizer steps so far.
    It must leave weights and buffers unchanged; it may draw random numbers. To log metrics or to change weights, use
    Lightning's hooks of the module, such as `on_train_epoch_end`: they run before the checkpoint.

    Raises KeyboardInterrupt on Ctrl-C, ConfigError for a loss that is not finite, ExternalServiceError when a remote
    checkpoint is unreachable. `training_step` returns the loss, or a mapping of losses under manual optimization.
    """
    if session.group.first:
        warn_of_emulation(params, session.stage)
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    module = build_module()
    callback = TrainingCallback(params, session, patience, monitor, on_epoch, tolerance)
    loader = _load_batches(rows, BatchSampler(len(rows), params, session.group))
    validation_batches = (
        _load_batches(validation, split_in_order(len(validation), params.batch_size))
        if validation is not None
        else None
    )
    with session.group.initialized(), warnings.catch_warnings():
        resume = _find_resume_point(session, module)
        warnings.simplefilter("ignore")  # Lightning's advice on workers and intervals
        trainer = _build_trainer(params, callback, session.group, manual=not module.automatic_optimization)
        _run_trainer(trainer, module, loader, validation_batches, resume)
    if not session.group.first:
        raise WorkerExit
    if callback.best:
        module.load_state_dict(callback.best)
    return module.cpu().eval(), callback.history


def warn_of_emulation(params: Training, stage: str) -> None:
    """Warn when this CPU emulates a stage's training precision."""
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
    """Return the row numbers of each batch of `size`, all rows once, in order."""
    return [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]


class TrainingCallback(pl.callbacks.Checkpoint):
    """Seeds steps, records history and best weights, writes checkpoints and shows progress."""

    def __init__(
        self,
        params: Training,
        session: TrainingSession,
        patience: int | None,
        monitor: str = MONITOR,
        on_epoch: EpochHook | None = None,
        tolerance: float = 0,
    ) -> None:
        self._params, self._session, self._tolerance = params, session, tolerance
        self._patience, self._monitor, self._on_epoch = patience, monitor, on_epoch
        self._group = session.group
        self.history: History = {}
        self.best: dict[str, torch.Tensor] = {}
        self.lowest, self.stale = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"history": self.history, "best": self.best, "lowest": self.lowest, "stale": self.stale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's state, and log its history again."""
        self.history, self.best = state_dict["history"], state_dict["best"]
        self.lowest, self.stale = state_dict["lowest"], state_dict["stale"]
        for name, points in self.history.items():
            for step, value in points:
                self._session.run.log_metrics({name: value}, int(step))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the progress bar, and log where a resumed training continues."""
        steps = self._params.steps_per_epoch
        if trainer.current_epoch and self._group.first:
            log.warning(
                "%s: continues after epoch %d of %d", self._session.stage, trainer.current_epoch, trainer.max_epochs
            )
        if self._group.size > 1:  # Lightning's handler waits for the others, forever if one is gone
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
        """Seed torch by (seed, epoch, step), differently in each process."""
        rank = [self._group.rank] if self._group.rank else []  # the first process has the seed of a single one
        entropy = np.random.SeedSequence([self._params.seed, trainer.current_epoch, batch_idx, *rank])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the progress bar. Raises ConfigError when a loss is not finite."""
        self._bar.update()
        self._require_finite(outputs or {}, trainer.current_epoch * self._params.steps_per_epoch + batch_idx + 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch's metrics and weights; Lightning calls this callback last."""
        step = (trainer.current_epoch + 1) * self._params.steps_per_epoch
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values = self._group.broadcast(measured)  # different CPUs must not decide differently
        self._require_finite({**pl_module.state_dict(), **values}, step)
        for name, value in values.items():
            self.history.setdefault(name, []).append([step, value])
        if self._patience:
            self._update_best(values[self._monitor], pl_module)
        self._save(trainer)
        if self._on_epoch and self._group.first:
            self._on_epoch(pl_module, step)
        self._session.run.log_metrics(values, step)
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
        trainer.should_stop = self._has_stalled()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the progress bar."""
        self._bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the progress bar, so that the error starts a new line."""
        if hasattr(self, "_bar"):
            self._bar.close()

    def _require_finite(self, values: Mapping[str, Any], step: int) -> None:
        """Raise ConfigError for the first value that is not finite; the last checkpoint is from before this epoch."""
        for name, value in values.items():
            if not bool(torch.as_tensor(value).isfinite().all()):
                stage, rate = self._session.stage, self._params.learning_rate
                raise ConfigError(
                    f"{stage}: {name} is not finite at step {step}, expected a number; the checkpoint of the epoch "
                    f"before is kept; lower {stage}.learning_rate, now {rate:g}"
                )

    def _update_best(self, loss: float, module: pl.LightningModule) -> None:
        self.stale += 1
        if loss < self.lowest:
            self.lowest, self.stale = loss, 0
        if loss <= self.lowest + self._tolerance * abs(self.lowest):
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}

    def _has_stalled(self) -> bool:
        return self._patience is not None and self.stale >= self._patience

    def _save(self, trainer: pl.Trainer) -> None:
        path = self._session.checkpoint
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            trainer.save_checkpoint(partial)  # all processes take part, the first writes
            if self._group.first:
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        if self._session.remote:
            last = trainer.current_epoch + 1 == self._params.epochs or self._has_stalled()
            self._session.remote.push(path, last)


class LocalCheckpointIO(TorchCheckpointIO):
    """Write checkpoints to a local folder; Lightning's own writer imports clients of object stores."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint. Raises OSError."""
        content = io.BytesIO()  # torch turns a full disk into a RuntimeError
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())


def _build_trainer(params: Training, callback: TrainingCallback, group: ProcessGroup, manual: bool) -> pl.Trainer:
    distributed = {
        "devices": params.devices,
        "num_nodes": params.nodes,
        "strategy": DDPStrategy(find_unused_parameters=manual),  # each step of a GAN skips one network
    }
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return pl.Trainer(
        accelerator="auto",
        **(distributed if group.size > 1 else {"devices": 1}),
        precision=params.precision,
        max_epochs=params.epochs,
        callbacks=[callback],
        plugins=[LocalCheckpointIO()],
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
    except SystemExit:  # Lightning's reaction to Ctrl-C, after it disabled the signal
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _load_batches(rows: BatchDataset, order: Iterable[Int64Array]) -> DataLoader[Any]:
    return DataLoader(rows, batch_size=None, sampler=order)  # type: ignore[arg-type] # a sampler of arrays


def _find_resume_point(session: TrainingSession, module: pl.LightningModule) -> Path | None:
    """Return the first process's checkpoint in every process; None if there is none."""
    path = session.checkpoint
    if session.remote:
        session.remote.fetch(path)
    checkpoint = checkpoints.find_valid_checkpoint(path, module) if session.group.first else None
    if session.group.size == 1:
        return checkpoint
    content = session.group.broadcast(checkpoint.read_bytes() if checkpoint else None)
    if content and not session.group.first:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path if content else None
