"""Ctrl-C and SIGKILL in a training, and two runs in one folder. Unit tests of each stage resume every model."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from filelock import FileLock
from tests.support import painted_pictures, shop

from adloom.config import params
from adloom.config.settings import read_kernel_variables
from adloom.context import StageContext
from adloom.stages import runner
from adloom.storage import manifest

ADLOOM = Path(sys.executable).parent / "adloom"
QUIET = {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef"}
PATIENCE = 120  # seconds
EPOCHS = 8
CONTINUES = rf"train_gan: continues after epoch \d of {EPOCHS}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with creatives, and params whose training takes a while."""
    painted_pictures.write(tmp_path / "data/dataset", painted_pictures.rows())
    values = shop.params()
    values["train_gan"] |= {"epochs": EPOCHS, "steps_per_epoch": 10, "patience": EPOCHS}
    shop.write_params(tmp_path, values)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find_checkpoints(folder: Path) -> set[int]:
    """Return the times at which the present checkpoints were written."""
    return {path.stat().st_mtime_ns for path in (folder / ".adloom").glob("checkpoints/*/*/last.ckpt")}


def end_training(folder: Path, how: signal.Signals, random: Random) -> tuple[int, list[str]]:
    """Start a training and end it after one or two more checkpoints; return its exit code and what it printed."""
    seen, number = find_checkpoints(folder), random.randint(1, 2)
    wanted, deadline = len(seen) + number, time.monotonic() + PATIENCE
    with subprocess.Popen([ADLOOM, "train-gan"], cwd=folder, env=QUIET, stderr=subprocess.PIPE, text=True) as training:
        while len(seen) < wanted:
            assert training.poll() is None, f"it ended, and has written {len(seen)} checkpoints"
            assert time.monotonic() < deadline
            seen |= find_checkpoints(folder)
            time.sleep(0.005)  # between two looks; what is waited for is the checkpoint
        time.sleep(random.uniform(0, 0.1))  # into some step of the next epoch
        training.send_signal(how)
        lines = training.communicate(timeout=PATIENCE)[1].splitlines()
    return training.returncode, lines


def train(folder: Path, context: StageContext) -> str:
    """Train in this process; return the digest of the artifact."""
    loaded = params.load(folder / "params.yaml")
    runner.run_from_params("train-gan", {}, loaded, replace(context, kernels=read_kernel_variables()))
    return manifest.digest(folder / "models" / "gan")


def test_a_training_that_was_ended_twice_resumes_to_the_bytes_of_an_uninterrupted_one(
    folder: Path, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    uninterrupted = train(folder, context)
    shutil.rmtree(folder / "models")
    random = Random(uninterrupted)
    code, lines = end_training(folder, signal.SIGINT, random)
    assert (code, lines[-1]) == (130, "adloom: interrupted; the same command goes on from the last checkpoint")
    assert list((folder / "models").glob("*")) == []
    code, lines = end_training(folder, signal.SIGKILL, random)
    assert code == -signal.SIGKILL
    assert re.fullmatch(CONTINUES, lines[-1])
    assert [path.name for path in (folder / "models").glob("*")] == [".gan.partial"]
    assert train(folder, context) == uninterrupted
    assert re.search(CONTINUES, caplog.text)
    assert list((folder / ".adloom").glob("checkpoints/*/*/*")) == []


def test_a_second_run_in_the_same_folder_is_refused(folder: Path) -> None:
    (folder / "dvc.yaml").touch()
    (folder / ".adloom").mkdir()
    with FileLock(folder / ".adloom" / "run.lock"):
        refused = subprocess.run([ADLOOM, "run"], cwd=folder, env=QUIET, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.endswith("another `adloom run` works here; wait for it or stop it\n")
    assert not (folder / "sources.lock").exists()
