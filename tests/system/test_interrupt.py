"""Ctrl-C and SIGKILL in a training, and two runs in one folder."""

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

import pandas as pd
import pytest
from filelock import FileLock
from tests.conftest import MakeTable
from tests.support import painted_pictures, shop

from adloom.config import params
from adloom.config.settings import read_kernel_variables
from adloom.context import StageContext
from adloom.stages import runner
from adloom.storage import manifest

ADLOOM = Path(sys.executable).parent / "adloom"
QUIET = {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": "0123456789abcdef0123456789abcdef"}
PATIENCE = 120  # seconds
EPOCHS = {"lstm": 24, "gan": 8, "cnn": 12}
ENDS = {
    signal.SIGINT: (130, ["adloom: interrupted; the same command goes on from the last checkpoint"]),
    signal.SIGKILL: (-signal.SIGKILL, []),
}  # exit code and last line of the standard error output


@pytest.fixture
def folder(tmp_path: Path, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tables of copy and creatives, and params whose trainings take a while."""
    lines = [
        f"{adjective} {noun} number {n}" for adjective in ("warm", "new") for noun in ("hat", "shoe") for n in range(60)
    ]
    splits = ["train"] * 200 + ["validation"] * 20 + ["test"] * 20
    make_table("copy", pd.DataFrame({"copy_id": lines, "text": lines, "category": "all", "split": splits}))
    painted_pictures.write(tmp_path / "data/dataset", painted_pictures.rows())
    values = shop.params()
    for model, epochs in EPOCHS.items():
        values[f"train_{model}"] |= {"epochs": epochs, "steps_per_epoch": 10}
    values["train_lstm"]["patience"] = values["train_gan"]["patience"] = max(EPOCHS.values())
    shop.write_params(tmp_path, values)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(folder: Path, command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([ADLOOM, command], cwd=folder, env=QUIET, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoints(training: "subprocess.Popen[str]", folder: Path, number: int) -> None:
    """Wait until a training has written this many checkpoints."""
    deadline, seen = time.monotonic() + PATIENCE, set[int]()
    while len(seen) < number:
        assert training.poll() is None, f"it ended after {len(seen)} checkpoints"
        assert time.monotonic() < deadline
        seen.update(path.stat().st_mtime_ns for path in (folder / ".adloom").glob("checkpoints/*/*/last.ckpt"))
        time.sleep(0.005)  # between two looks; what is waited for is the checkpoint


def train(folder: Path, model: str, context: StageContext) -> str:
    """Train in this process; return the digest of the artifact."""
    loaded = params.load(folder / "params.yaml")
    runner.run_from_params(f"train-{model}", {}, loaded, replace(context, kernels=read_kernel_variables()))
    return manifest.digest(folder / "models" / model)


@pytest.mark.parametrize(
    ("model", "ended_by"), [("lstm", signal.SIGINT), ("gan", signal.SIGKILL), ("cnn", signal.SIGKILL)]
)
def test_a_training_that_was_ended_resumes_to_the_bytes_of_an_uninterrupted_one(
    model: str, ended_by: signal.Signals, folder: Path, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    uninterrupted = train(folder, model, context)
    shutil.rmtree(folder / "models")
    training, random = start(folder, f"train-{model}"), Random(uninterrupted)
    wait_for_checkpoints(training, folder, random.randint(1, EPOCHS[model] // 2))
    time.sleep(random.uniform(0, 0.1))  # into some step of the next epoch
    training.send_signal(ended_by)
    lines = training.communicate(timeout=PATIENCE)[1].splitlines()
    assert (training.returncode, lines[-1:]) == ENDS[ended_by]
    left = [f".{model}.partial"] if ended_by is signal.SIGKILL else []
    assert [path.name for path in (folder / "models").glob("*")] == left
    assert train(folder, model, context) == uninterrupted
    assert re.search(rf"train_{model}: continues after epoch \d+ of {EPOCHS[model]}\n", caplog.text)
    assert list((folder / ".adloom").glob("checkpoints/*/*/*")) == []


def test_a_second_run_in_the_same_folder_is_refused(folder: Path) -> None:
    (folder / "dvc.yaml").touch()
    (folder / ".adloom").mkdir()
    with FileLock(folder / ".adloom" / "run.lock"):
        refused = subprocess.run([ADLOOM, "run"], cwd=folder, env=QUIET, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.endswith("another `adloom run` works here; wait for it or stop it\n")
    assert not (folder / "sources.lock").exists()
