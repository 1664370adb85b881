"""
Trainings of several processes on this machine, which hand over by a real S3 server and go on from what lies there.

Processes are started as Kubeflow Trainer starts its pods; what the component does is what it does in a cluster.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
from tests.system import seaweedfs
from tests.system.relay import Relay
from tests.system.seaweedfs import BUCKET, Server
from tests.unit.stages import painted

from adloom import caller
from adloom.checkpoints import Copy
from adloom.errors import AdloomError, DataError, OutsideError, ParamsError
from adloom.io import manifest, tables
from adloom.io.jobs import LocalJobs
from adloom.io.outside import Outside
from adloom.io.s3_faults import Patience
from adloom.io.stores import Stores
from adloom.kubeflow import distributed
from adloom.params import Source, TrainCnn, TrainGan, Training, TrainLstm
from adloom.settings import Settings

SMALL = {"threads": 1, "batch_size": 16, "learning_rate": 0.02}
LSTM = TrainLstm(**SMALL, epochs=8, steps_per_epoch=25, vocabulary=300, hidden=16, dropout=0.0, patience=8)
CNN = TrainCnn(**SMALL, epochs=4, steps_per_epoch=6, width=8, embedding=6, weight_decay=0.0)
GAN = TrainGan(**SMALL, epochs=1, steps_per_epoch=4, width=8, latent=8)
PATIENCE = 120  # seconds


@dataclass(frozen=True)
class World:
    """A folder with prepared tables, and a user of the S3 server."""

    folder: Path
    server: Server

    @property
    def copy(self) -> Path:
        return self.folder / "copy"

    @property
    def creatives(self) -> Path:
        return self.folder / "creatives"

    def outside(self, checkpoints: str | None = None) -> Outside:
        home = self.folder / "home"
        return replace(
            painted.outside(home), home=home, store=Stores(Settings(home=home, quiet=True)), checkpoint_uri=checkpoints
        )

    def alone(self, stage: str, block: Training, table: Path) -> dict[str, float]:
        """Train in this process; return the last epoch's metrics."""
        (paths,) = [{"creatives": str(table)} if table == self.creatives else {"copy": str(table)}]
        target = {stage.removeprefix("train-"): str(self.folder / f"alone-{stage}")}
        return {name: float(value) for name, value in caller.execute(stage, paths | target, block, self.outside()).items()}

    def start(self, block: TrainLstm, home: str, to: str) -> "subprocess.Popen[str]":
        """Start `adloom train-lstm` in as many processes as its block says, on an empty disk."""
        environment = {
            **os.environ,
            "CI": "true",
            "ADLOOM_HOME": str(self.folder / home),
            "ADLOOM_CHECKPOINT_URI": f"s3://{BUCKET}/checkpoints",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
        }
        given = ["--project", "shop", "--block", block.to_json(), "--copy", str(self.copy), "--lstm", to]
        adloom = Path(sys.executable).parent / "adloom"
        return subprocess.Popen(
            [adloom, "train-lstm", *given], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("distributed")
    lines = [f"{warm} {hat} number {n}" for warm in ("warm", "new") for hat in ("hat", "shoe") for n in range(60)]
    splits = ["train"] * 200 + ["validation"] * 20 + ["test"] * 20
    with manifest.draft(folder / "copy", "prepare", Source(uri="test"), {}) as made:
        tables.write(pd.DataFrame({"copy_id": lines, "text": lines, "category": "all", "split": splits}), made.path)
    painted.write(folder, painted.rows()).rename(folder / "creatives")
    with pytest.MonkeyPatch.context() as patch:
        seaweedfs.visit(server, patch)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield World(folder, server)


def in_jobs(world: World, stage: str, block: Training, table: str, output: str, name: str) -> dict[str, float]:
    """Train as a component does whose training has pods of its own, here processes."""
    jobs = LocalJobs(world.folder / "logs")
    metrics = distributed.train(
        stage,
        "shop",
        block,
        {table: world.folder / table},
        {output: world.folder / name},
        world.outside(f"s3://{BUCKET}/{name}"),
        Settings(quiet=True),
        jobs,
        lambda _: time.sleep(0.1),  # between two looks
    )
    return {key: float(value) for key, value in metrics.items()}


def test_a_picture_reader_of_two_processes_measures_as_one_of_one(world: World) -> None:
    two = in_jobs(world, "train-cnn", CNN.model_copy(update={"devices": 2}), "creatives", "cnn", "cnn")
    one = world.alone("train-cnn", CNN, world.creatives)
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=0.1)
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], abs=0.2)
    made = manifest.verify(world.folder / "cnn")
    assert (made.stage, made.rows) == ("train_cnn", {"train": 36, "validation": 12})
    assert world.server.keys(BUCKET, "cnn/") == set(), "what was handed over, and the checkpoint, are gone"


def test_two_machines_train_a_generator_and_leave_one_artifact(world: World) -> None:
    block = GAN.model_copy(update={"nodes": 2})
    two = in_jobs(world, "train-gan", block, "creatives", "gan", "gan")
    one = world.alone("train-gan", GAN, world.creatives)
    assert two == {name: pytest.approx(value, abs=0.5) for name, value in one.items()}
    assert manifest.verify(world.folder / "gan").params == block.digest()
    assert world.server.keys(BUCKET, "gan/") == set()
