"""Ctrl-C and SIGKILL in a training, and two runs in one folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from filelock import FileLock
from tests.conftest import MakeTable
from tests.support import painted_pictures, shop

from adloom.storage import manifest

ADLOOM = Path(sys.executable).parent / "adloom"
QUIET = {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef"}
PATIENCE = 120  # seconds


@pytest.fixture
def folder(tmp_path: Path, make_table: MakeTable) -> Path:
    """A folder with tables of copy and creatives, and params whose trainings take a while."""
    lines = [
        f"{adjective} {noun} number {n}" for adjective in ("warm", "new") for noun in ("hat", "shoe") for n in range(60)
    ]
    splits = ["train"] * 200 + ["validation"] * 20 + ["test"] * 20
    make_table("copy", pd.DataFrame({"copy_id": lines, "text": lines, "category": "all", "split": splits}))
    painted_pictures.write(tmp_path / "data/dataset", painted_pictures.rows())
    values = shop.params()
    for stage, epochs in {"train_lstm": 40, "train_gan": 12, "train_cnn": 12}.items():
        values[stage] |= {"epochs": epochs, "steps_per_epoch": 20, "patience": epochs}
    del values["train_cnn"]["patience"]
    shop.write_params(tmp_path, values)
    return tmp_path


def start(folder: Path, command: str = "train-lstm") -> "subprocess.Popen[str]":
    return subprocess.Popen([ADLOOM, command], cwd=folder, env=QUIET, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoints(training: "subprocess.Popen[str]", folder: Path, number: int) -> None:
    """Wait until a training has written this many checkpoints."""
    deadline, seen = time.monotonic() + PATIENCE, set[int]()
    while len(seen) < number:
        assert training.poll() is None, f"it ended after {len(seen)} checkpoints"
        assert time.monotonic() < deadline
        seen.update(path.stat().st_mtime_ns for path in (folder / ".adloom").glob("checkpoints/*/*/last.ckpt"))
        time.sleep(0.005)  # between two looks; what is waited for is the checkpoint


def interrupt_after_first_epoch(training: "subprocess.Popen[str]", folder: Path) -> str:
    """Send Ctrl-C once there is a checkpoint, and return the standard error output."""
    wait_for_checkpoints(training, folder, 1)
    training.send_signal(signal.SIGINT)
    return training.communicate(timeout=PATIENCE)[1]


def test_ctrl_c_leaves_a_checkpoint_that_the_next_run_resumes(folder: Path) -> None:
    training = start(folder)
    stderr = interrupt_after_first_epoch(training, folder)
    assert training.returncode == 130
    assert stderr.splitlines()[-1] == "adloom: interrupted; the same command goes on from the last checkpoint"
    assert not (folder / "models").exists() or list((folder / "models").iterdir()) == []
    resumed = start(folder)
    assert re.fullmatch(r"train_lstm: continues after epoch \d+ of 40\n", resumed.communicate(timeout=PATIENCE)[1])
    assert manifest.verify(folder / "models/lstm").skipped is None
    assert list((folder / ".adloom").glob("checkpoints/*/*/*")) == []


def test_a_second_run_in_the_same_folder_is_refused(folder: Path) -> None:
    (folder / "dvc.yaml").touch()
    (folder / ".adloom").mkdir()
    with FileLock(folder / ".adloom" / "run.lock"):
        refused = subprocess.run([ADLOOM, "run"], cwd=folder, env=QUIET, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.endswith("another `adloom run` works here; wait for it or stop it\n")
    assert not (folder / "sources.lock").exists()


@pytest.mark.parametrize("model", ["lstm", "gan", "cnn"])
def test_a_killed_training_resumes_to_the_bytes_of_an_uninterrupted_one(model: str, folder: Path) -> None:
    command, artifact = f"train-{model}", folder / "models" / model
    start(folder, command).communicate(timeout=PATIENCE)
    uninterrupted = manifest.digest(artifact)
    shutil.rmtree(folder / "models")
    training, random = start(folder, command), Random(uninterrupted)
    wait_for_checkpoints(training, folder, random.randint(1, 8))
    time.sleep(random.uniform(0, 0.2))  # into some step of the next epoch
    training.kill()
    assert training.wait(PATIENCE) == -signal.SIGKILL
    training.communicate()
    assert not artifact.exists()
    _, stderr = start(folder, command).communicate(timeout=PATIENCE)
    assert f"train_{model}: continues after epoch" in stderr
    assert manifest.digest(artifact) == uninterrupted
