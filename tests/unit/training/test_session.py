"""A session of a training: its checkpoint is kept until the artifact is stored, and the import of torch is put off."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import MakeTable

from adloom.config.training import Training
from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.storage import manifest
from adloom.tracking.memory import MemoryTracker
from adloom.training import checkpoints
from adloom.training.session import open_session

PARAMS = Training(epochs=4, steps_per_epoch=3, batch_size=16, learning_rate=0.1, threads=1)

IMPORT = """
import sys
import adloom.stages.train_lstm, adloom.training.session
print({"torch", "pytorch_lightning"} & sys.modules.keys())
"""


def test_a_session_is_imported_without_torch() -> None:
    assert subprocess.check_output([sys.executable, "-c", IMPORT], text=True) == "set()\n"


def test_a_wrong_number_of_processes_is_refused(tmp_path: Path, context: StageContext, make_table: MakeTable) -> None:
    table = make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]}))
    wanted = "train_net: nodes 1 and devices 2 make 2 processes, torchrun started 1"
    params = PARAMS.model_copy(update={"devices": 2})
    with pytest.raises(ConfigError, match=wanted), open_session("train_net", table, tmp_path, params, context):
        pass


def test_a_session_keeps_the_checkpoint_until_the_artifact_is_stored(
    tmp_path: Path, context: StageContext, make_table: MakeTable
) -> None:
    table, target = make_table("copy", pd.DataFrame({"text": ["a"], "split": ["train"]})), tmp_path / "models" / "net"

    def train(*, interrupted: bool) -> Path:
        with open_session("train_net", table, target, PARAMS, context) as session:
            session.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            session.checkpoint.touch()
            if interrupted:
                raise KeyboardInterrupt
            return session.checkpoint

    with pytest.raises(KeyboardInterrupt):
        train(interrupted=True)
    assert len(list((context.home / "checkpoints").rglob("*.ckpt"))) == 1
    assert list(target.parent.iterdir()) == []
    checkpoints.discard_finished(context, target)  # of a training that did not end
    checkpoint = train(interrupted=False)
    checkpoints.discard_finished(context, tmp_path / "models" / "another")
    assert checkpoint.exists()
    checkpoints.discard_finished(context, target)
    assert not checkpoint.parent.exists()
    assert isinstance(context.tracker, MemoryTracker)
    failed, sealed = context.tracker.runs
    assert (failed.status, sealed.status) == ("FAILED", "FINISHED")
    assert sealed.recorded_tags["manifest_digest"] == manifest.digest(target)
    assert sealed.recorded_tags["dataset_digest"] == manifest.digest(table)
    assert manifest.read(target).inputs == {"table": manifest.digest(table)}  # wherever the table lies
