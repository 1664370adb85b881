"""When to launch several processes, and the root cause of several failures."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from adloom.config.params import TrainLstm
from adloom.config.settings import Settings
from adloom.errors import AdloomError, ConfigError, UserError
from adloom.training import launcher

ONE = TrainLstm(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.1)
TWO, MACHINES = ONE.model_copy(update={"devices": 2}), ONE.model_copy(update={"nodes": 2, "devices": 2})


@dataclass(frozen=True)
class Failure:
    """What torch tells of a process that failed."""

    local_rank: int
    exitcode: int
    message: str = ""
    timestamp: int = 0  # seconds


def test_several_processes_are_launched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launcher.needs_launch(ONE, "train-lstm", Settings())
    assert launcher.needs_launch(TWO, "train-lstm", Settings())
    assert not launcher.needs_launch(TWO.model_copy(update={"enabled": False}), "train-lstm", Settings())
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun has started this one
    assert not launcher.needs_launch(TWO, "train-lstm", Settings())


def test_several_machines_need_the_variables_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"train_lstm.nodes: 2,.*--nproc-per-node 2"):
        launcher.needs_launch(MACHINES, "train-lstm", Settings())
    monkeypatch.setenv("PET_NNODES", "2")
    assert launcher.needs_launch(MACHINES, "train-lstm", Settings())


def test_the_root_cause_is_reported_before_secondary_failures() -> None:
    lost = Failure(0, 1, "unexpected RuntimeError: Connection closed by peer")
    ended = Failure(1, -15)
    mended = launcher.root_cause("train-lstm", [ended, lost, Failure(2, 2, "copy: 0 lines", timestamp=1)])
    assert (type(mended), str(mended)) == (UserError, "copy: 0 lines")
    killed = launcher.root_cause("train-lstm", [ended, lost, Failure(3, -9)])
    assert type(killed) is AdloomError
    assert str(killed).startswith("train-lstm: process 3 of this machine was ended by SIGKILL")
    assert str(launcher.root_cause("train-lstm", [ended, lost])) == lost.message


def test_an_error_is_written_for_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launcher.report_error("copy: 0 lines", Settings())
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert launcher.report_error("copy: 0 lines", Settings())
    assert json.loads((tmp_path / "error.json").read_text(encoding="utf-8"))["message"] == "copy: 0 lines"
