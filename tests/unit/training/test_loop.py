"""The training loop on four numbers a row: resuming to the same bytes, stopping early, damaged checkpoints."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from adloom.arrays import Int64Array
from adloom.config.training import Training
from adloom.errors import ConfigError
from adloom.storage import manifest
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryRun
from adloom.training import checkpoints, loop
from adloom.training.session import History, TrainingSession

PARAMS = Training(epochs=4, steps_per_epoch=3, batch_size=16, learning_rate=0.1, threads=1)


class Numbers:
    def __len__(self) -> int:
        return 50

    def __getitem__(self, rows: Int64Array) -> torch.Tensor:
        return torch.randn(50, 4, generator=torch.Generator().manual_seed(0))[torch.from_numpy(rows)]


class Net(pl.LightningModule):
    """A layer whose loss falls on training rows and rises on validation rows after two epochs."""

    interrupt_at: tuple[int, int] | None = None  # (epoch, step)

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(4, 1), nn.Dropout(0.5)
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: torch.Tensor, step: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, step))
        if self.seen[-1] == self.interrupt_at:
            raise KeyboardInterrupt
        loss: torch.Tensor = ((self.layer(self.dropout(batch)) - torch.rand(len(batch), 1)) ** 2).mean()
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: torch.Tensor, _: int) -> None:
        self.log("validation_loss", torch.tensor(abs(self.current_epoch - 1.0)), batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 0.05)


class InterruptedNet(Net):
    interrupt_at = (2, 1)


@dataclass
class Trained:
    module: Net
    history: History
    run: MemoryRun
    weights: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = self.module.state_dict()


def same(one: Trained, other: Trained) -> bool:
    """Return whether weights, history and tracked metrics are equal to the last bit."""
    weights = all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    return weights and one.history == other.history and one.run.recorded == other.run.recorded


def fit(
    folder: Path,
    net: type[Net] = Net,
    patience: int | None = None,
    copy: checkpoints.RemoteCheckpoint | None = None,
    params: Training = PARAMS,
    **options: Any,
) -> Trained:
    run = MemoryRun("train_net", {}, {})
    session = TrainingSession("train_net", manifest.Draft(folder), run, folder / "last.ckpt", False, copy)
    module, history = loop.fit(net, Numbers(), params, session, validation=Numbers(), patience=patience, **options)
    return Trained(module, history, run)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return fit(tmp_path_factory.mktemp("uninterrupted"))


def test_in_order_is_every_row_once() -> None:
    assert [batch.tolist() for batch in loop.split_in_order(5, 2)] == [[0, 1], [2, 3], [4]]
    assert loop.split_in_order(0, 2) == []


def test_two_runs_in_two_folders_are_equal(tmp_path: Path, uninterrupted: Trained) -> None:
    assert same(fit(tmp_path), uninterrupted)


def test_an_emulated_precision_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # nothing is trained: oneDNN would keep to it in later tests
    loop.warn_of_emulation(PARAMS.model_copy(update={"precision": "bf16-mixed"}), "train_net")
    loop.warn_of_emulation(PARAMS.model_copy(update={"precision": "32-true"}), "train_net")
    [message] = caplog.messages
    assert message.startswith("train_net: precision bf16-mixed is emulated by this CPU")
    assert "`train_net.precision: 32-true`" in message


def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, InterruptedNet)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    resumed = fit(tmp_path)
    assert caplog.messages == ["train_net: continues after epoch 2 of 4"]
    assert resumed.module.seen[0] == (2, 0)
    assert same(resumed, uninterrupted)


def test_an_empty_disk_resumes_from_the_remote_checkpoint(tmp_path: Path, uninterrupted: Trained) -> None:
    copy = checkpoints.RemoteCheckpoint(FolderStore(), str(tmp_path / "kept"))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "first", InterruptedNet, copy=copy)
    resumed = fit(tmp_path / "second", copy=copy)
    assert resumed.module.seen[0] == (2, 0)
    assert same(resumed, uninterrupted)


def test_a_finished_training_is_not_repeated(tmp_path: Path, uninterrupted: Trained) -> None:
    fit(tmp_path)
    again = fit(tmp_path)
    assert again.module.seen == []
    assert same(again, uninterrupted)


def test_history_has_a_point_per_epoch(uninterrupted: Trained) -> None:
    assert set(uninterrupted.history) == {"loss", "validation_loss"}
    assert [step for step, _ in uninterrupted.history["loss"]] == [3, 6, 9, 12]
    assert uninterrupted.history["validation_loss"] == [[3, 1], [6, 0], [9, 1], [12, 2]]


def test_patience_stops_and_returns_the_best_epoch(tmp_path: Path, uninterrupted: Trained) -> None:
    stopped = fit(tmp_path, patience=1)
    assert stopped.history["validation_loss"] == [[3, 1], [6, 0], [9, 1]]
    assert stopped.history["loss"] == uninterrupted.history["loss"][:3]
    assert not torch.equal(stopped.weights["layer.weight"], uninterrupted.weights["layer.weight"])
    best = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["TrainingCallback"]["best"]
    assert torch.equal(stopped.weights["layer.weight"], best["layer.weight"])
    again = fit(tmp_path, patience=1)
    assert (again.module.seen, again.history) == ([], stopped.history)


class NoisyNet(Net):
    def validation_step(self, batch: torch.Tensor, _: int) -> None:
        self.log("validation_loss", torch.tensor((4, 2, 2.4, 3.0)[self.current_epoch]), batch_size=len(batch))


def test_the_last_epoch_within_the_tolerance_is_returned(tmp_path: Path) -> None:
    chosen = fit(tmp_path / "four", NoisyNet, patience=4, tolerance=0.25)
    third = fit(tmp_path / "three", NoisyNet, params=PARAMS.model_copy(update={"epochs": 3}))
    assert [value for _, value in chosen.history["validation_loss"]] == pytest.approx([4, 2, 2.4, 3])
    assert torch.equal(chosen.weights["layer.weight"], third.weights["layer.weight"])


DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty": lambda intact, weight: b"",
    "text": lambda intact, weight: b"not a checkpoint",
    "cut off": lambda intact, weight: intact[:-100],
    "weights lost": lambda intact, weight: intact.replace(weight, bytes(len(weight))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_discarded_with_one_line(
    damage: Callable[[bytes, bytes], bytes], tmp_path: Path, uninterrupted: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    path, weight = tmp_path / "last.ckpt", uninterrupted.weights["layer.weight"].numpy().tobytes()
    fit(tmp_path)
    path.write_bytes(damage(path.read_bytes(), weight))
    with caplog.at_level(logging.WARNING, "adloom"):
        assert same(fit(tmp_path), uninterrupted)
    assert [record.message.split(" (")[0] for record in caplog.records] == [f"{path}: damaged checkpoint"]


class DivergingNet(Net):
    """A net with a loss that is not a number from step 2 of epoch 2 on, of 3 steps each."""

    def training_step(self, batch: torch.Tensor, step: int) -> torch.Tensor:
        return super().training_step(batch, step) * (float("nan") if (self.current_epoch, step) >= (2, 1) else 1)


class DivergingGan(DivergingNet):
    """The same with optimizer steps of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, step: int) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"generator_loss": super().training_step(batch, step)}


class OverflowingNet(Net):
    """A net with finite losses and a weight that overflows after epoch 2."""

    def on_train_epoch_end(self) -> None:
        if self.current_epoch == 2:
            self.layer.weight.data[0, 1] = float("inf")


@pytest.mark.parametrize(
    ("net", "line"),
    [
        (DivergingNet, "train_net: loss is not finite at step 8, "),
        (DivergingGan, "train_net: generator_loss is not finite at step 8, "),
        (OverflowingNet, "train_net: layer.weight is not finite at step 9, "),
    ],
)
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    net: type[Net], line: str, tmp_path: Path, uninterrupted: Trained
) -> None:
    with pytest.raises(ConfigError, match=f"{line}.*lower train_net.learning_rate, now 0.1$"):
        fit(tmp_path, net)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (kept["epoch"], kept["global_step"]) == (1, 0 if net is DivergingGan else 6)
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())
    if net is not DivergingGan:  # it made no step at all
        resumed = fit(tmp_path)
        assert (resumed.module.seen[0], same(resumed, uninterrupted)) == ((2, 0), True)


def test_a_stage_sees_every_epoch_after_its_checkpoint(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def look(module: Net, step: int) -> None:
        assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == module.current_epoch
        seen.append((module.current_epoch, step))

    fit(tmp_path, on_epoch=look)
    assert seen == [(0, 3), (1, 6), (2, 9), (3, 12)]


def test_a_stage_may_stop_by_a_metric_of_its_own(tmp_path: Path, uninterrupted: Trained) -> None:
    stopped = fit(tmp_path, patience=1, monitor="loss")
    losses = [value for _, value in uninterrupted.history["loss"]]
    rise = next((number for number in range(1, 4) if losses[number] >= min(losses[:number])), 3)
    assert [value for _, value in stopped.history["loss"]] == losses[: rise + 1]


class WiderNet(Net):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)


def test_a_checkpoint_of_another_network_is_discarded(
    tmp_path: Path, uninterrupted: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path, WiderNet)
    assert same(fit(tmp_path), uninterrupted)
    assert "damaged checkpoint (ValueError), training starts over" in caplog.text
