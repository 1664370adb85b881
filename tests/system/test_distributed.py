"""
Trainings of several processes on this machine, which hand over by a real S3 server and go on from what lies there.

Processes are started as Kubeflow Trainer starts its pods; what the component does is what it does in a cluster.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.support import painted_pictures, preloaded, seaweedfs
from tests.support.pipeline_artifact import PipelineArtifact
from tests.support.relay import Relay
from tests.support.seaweedfs import BUCKET, Server

from adloom.config.params import TrainCnn, TrainGan, TrainLstm
from adloom.config.settings import Settings
from adloom.config.sources import Source
from adloom.config.training import Training
from adloom.context import StageContext, open_store
from adloom.errors import AdloomError, ConfigError, DataError, ExternalServiceError
from adloom.kubeflow import component_runtime, distributed
from adloom.kubeflow.jobs.local import LocalJobClient
from adloom.retry import RetryPolicy
from adloom.stages import runner
from adloom.stages.runner import Metrics
from adloom.storage import manifest, parquet
from adloom.storage.s3 import S3Store
from adloom.storage.s3_client import S3Options
from adloom.tracking.mlflow import MlflowTracker
from adloom.training.checkpoints import RemoteCheckpoint

SMALL: dict[str, Any] = {"threads": 1, "batch_size": 16, "learning_rate": 0.02}
LSTM = TrainLstm(**SMALL, epochs=8, steps_per_epoch=25, vocabulary=300, hidden=16, dropout=0.0, patience=8)
CNN = TrainCnn(**SMALL, epochs=4, steps_per_epoch=6, width=8, embedding=6, weight_decay=0.0, backbone="scratch")
GAN = TrainGan(**SMALL, epochs=1, steps_per_epoch=4, width=8, latent=8)
PATIENCE = 120  # seconds


def numbers(metrics: Metrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


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

    def context(self, checkpoints: str | None = None) -> StageContext:
        home = self.folder / "home"
        return replace(
            painted_pictures.context(home),
            home=home,
            store=open_store(Settings(home=home, quiet=True)),
            checkpoint_uri=checkpoints,
        )

    def alone(self, stage: str, block: Training, table: Path) -> dict[str, float]:
        """Train in this process; return the last epoch's metrics."""
        paths = {table.name: str(table), stage.removeprefix("train-"): str(self.folder / f"alone-{stage}")}
        return numbers(runner.run_stage(stage, paths, block, self.context()))

    def start(self, block: TrainLstm, home: str, to: str) -> "subprocess.Popen[str]":
        """Start `adloom train-lstm` in as many processes as its block says, on an empty disk."""
        environment = {
            **os.environ,
            "CI": "true",
            "ADLOOM_HOME": str(self.folder / home),
            "ADLOOM_CHECKPOINT_URI": f"s3://{BUCKET}/checkpoints",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
        }
        options = ["--project", "shop", "--block", block.to_json(), "--copy", str(self.copy), "--lstm", to]
        program = [sys.executable, preloaded.__file__, "train-lstm"]
        return subprocess.Popen(
            [*program, *options], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("distributed")
    lines = [f"{warm} {hat} number {n}" for warm in ("warm", "new") for hat in ("hat", "shoe") for n in range(60)]
    splits = ["train"] * 200 + ["validation"] * 20 + ["test"] * 20
    with manifest.draft(folder / "copy", "prepare", Source(uri="test"), {}) as draft:
        parquet.write(pd.DataFrame({"copy_id": lines, "text": lines, "category": "all", "split": splits}), draft.path)
    painted_pictures.write(folder, painted_pictures.rows()).rename(folder / "creatives")
    with pytest.MonkeyPatch.context() as patch:
        seaweedfs.visit(server, patch)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield World(folder, server)


def in_jobs(
    world: World, stage: str, block: Training, table: str, read: str, output: str, name: str
) -> dict[str, float]:
    """Train as a component does whose training has pods of its own, here processes."""
    jobs = LocalJobClient(world.folder / "logs")
    metrics = distributed.train(
        stage,
        "shop",
        block,
        {read: world.folder / table},
        {output: world.folder / name},
        world.context(f"s3://{BUCKET}/{name}"),
        Settings(quiet=True),
        jobs,
        lambda _: time.sleep(0.1),  # between two looks
    )
    return numbers(metrics)


def test_a_picture_reader_of_two_processes_measures_as_one_of_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADLOOM_CHECKPOINT_URI", f"s3://{BUCKET}/cnn")
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path))
    block, cnn = CNN.model_copy(update={"devices": 2}), PipelineArtifact(str(world.folder / "cnn"))
    inputs = {"creatives": PipelineArtifact(str(world.creatives))}
    two = numbers(component_runtime.run_stage("train-cnn", "shop", block.to_json(), inputs, {"cnn": cnn}))
    tracker = MlflowTracker(f"sqlite:///{world.folder}/mlflow.db", "shop")
    assert cnn.metadata["mlflow_run"] == tracker.find_run("manifest_digest", cnn.metadata["digest"]) is not None
    one = world.alone("train-cnn", CNN, world.creatives)
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=0.1)
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], abs=0.2)
    artifact = manifest.verify(world.folder / "cnn")
    assert (artifact.stage, artifact.rows) == ("train_cnn", {"train": 36, "validation": 12})
    assert world.server.keys(BUCKET, "cnn/") == set(), "what was handed over, and the checkpoint, are gone"


def test_two_machines_train_a_generator_and_leave_one_artifact(world: World) -> None:
    block = GAN.model_copy(update={"nodes": 2})
    two = in_jobs(world, "train-gan", block, "creatives", "creatives", "gan", "gan")
    one = world.alone("train-gan", GAN, world.creatives)
    for metrics in (two, one):
        assert metrics.pop("kernel_distance") > 0  # this long trained, any difference of the nets is large in it
    assert two == {name: pytest.approx(value, abs=0.5) for name, value in one.items()}
    assert manifest.verify(world.folder / "gan").params == block.digest()
    assert world.server.keys(BUCKET, "gan/") == set()


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()]


def kill_a_worker_once_it_has_a_checkpoint(training: "subprocess.Popen[str]", server: Server) -> str:
    """Kill the second process once a checkpoint is in S3, and return the standard error output."""
    deadline = time.monotonic() + PATIENCE
    while not server.keys(BUCKET, "checkpoints/"):
        assert training.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks
    os.kill(children(training.pid)[1], signal.SIGKILL)
    return training.communicate(timeout=PATIENCE)[1]


@dataclass(frozen=True)
class Writers:
    """One copywriter, trained by two processes at a go, and by two of which one was killed."""

    whole: Path
    resumed: Path
    stderr: list[str]  # by the killed run, and by the one after it


@pytest.fixture(scope="module")
def writers(world: World) -> Writers:
    block = LSTM.model_copy(update={"devices": 2})
    killed = world.start(block, "first", f"s3://{BUCKET}/lstm")
    stderr = kill_a_worker_once_it_has_a_checkpoint(killed, world.server)
    assert killed.returncode == 1
    assert world.server.keys(BUCKET, "lstm/") == set()
    resumed = world.start(block, "second", f"s3://{BUCKET}/lstm")  # another machine, whose disk is empty
    then = resumed.communicate(timeout=PATIENCE)[1]
    assert resumed.returncode == 0, then
    whole = world.start(block, "third", str(world.folder / "lstm"))
    assert (whole.communicate(timeout=PATIENCE)[1], whole.returncode) == ("", 0)
    fetched = world.context().store.fetch(f"s3://{BUCKET}/lstm", world.folder / "fetched")
    return Writers(world.folder / "lstm", fetched, [stderr, then])


def test_a_killed_worker_ends_its_run_in_one_line(writers: Writers) -> None:
    line, rest = writers.stderr[0].split("\n")
    assert line.startswith("adloom: train-lstm: process 1 of this machine was ended by SIGKILL")
    assert rest == ""


def test_another_machine_resumes_to_the_same_bytes(writers: Writers, world: World) -> None:
    match = re.fullmatch(r"train_lstm: continues after epoch (\d) of 8\n", writers.stderr[1])
    assert match
    assert 1 <= int(match[1]) < LSTM.epochs
    assert manifest.verify(writers.resumed) == manifest.verify(writers.whole)
    assert world.server.keys(BUCKET, "checkpoints/") == set()


def test_a_copywriter_of_two_processes_measures_as_one_of_one(writers: Writers, world: World) -> None:
    history = json.loads((writers.whole / "history.json").read_text(encoding="utf-8"))
    one = world.alone("train-lstm", LSTM, world.copy)
    assert {name: points[-1][1] for name, points in history.items()} == pytest.approx(one, rel=0.05)


def test_a_failed_machine_is_reported_and_leaves_nothing(world: World) -> None:
    shutil.copytree(world.copy, world.folder / "damaged")
    (world.folder / "damaged" / "rows-00000.parquet").write_bytes(b"")
    block = LSTM.model_copy(update={"devices": 2})
    wanted = r"train-lstm-\w{16} failed: train-lstm-\w{16}-node-0: adloom: .*rows-00000.parquet"
    with pytest.raises(AdloomError, match=wanted):
        in_jobs(world, "train-lstm", block, "damaged", "copy", "lstm", "failed")
    assert world.server.keys(BUCKET, "failed/") == set()
    assert not (world.folder / "failed").exists()


def test_without_a_handover_uri_nothing_starts(world: World) -> None:
    paths = {"copy": world.copy}
    with pytest.raises(ConfigError, match="ADLOOM_CHECKPOINT_URI: not set in this pod; train-lstm with 2 processes"):
        distributed.train(
            "train-lstm",
            "shop",
            LSTM.model_copy(update={"nodes": 2}),
            paths,
            {"lstm": world.folder / "nowhere"},
            world.context(),
            Settings(),
            LocalJobClient(world.folder / "nowhere"),
        )
    assert not (world.folder / "nowhere").exists()


@pytest.fixture
def far(world: World, relay: Relay) -> Callable[[str], RemoteCheckpoint]:
    """Copies of checkpoints beyond a relay that may fail."""
    impatient = S3Options(connect_timeout=1, read_timeout=1, retry=RetryPolicy(pauses=()))
    store = S3Store(relay.endpoint, progress=False, options=impatient)
    return lambda key: RemoteCheckpoint(store, f"s3://{BUCKET}/far/{key}")


def test_a_copy_that_cannot_be_sent_is_a_warning_and_the_last_one_is_tried_again(
    far: Callable[[str], RemoteCheckpoint], relay: Relay, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, copy = tmp_path / "last.ckpt", far("one")
    checkpoint.write_bytes(b"an epoch")
    relay.refuse()
    copy.push(checkpoint, last=False)
    assert len(caplog.records) == 1
    assert "on this machine only" in caplog.text
    relay.heal()
    copy.push(checkpoint, last=True)
    assert world.server.get(BUCKET, "far/one/last.ckpt") == b"an epoch"
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_copy_comes_back_whole_or_not_at_all(
    far: Callable[[str], RemoteCheckpoint], relay: Relay, world: World, tmp_path: Path
) -> None:
    world.server.put(BUCKET, "far/two/last.ckpt", b"an epoch")
    checkpoint, copy = tmp_path / "home" / "last.ckpt", far("two")
    relay.refuse()
    with pytest.raises(ExternalServiceError, match="no answer from"):  # to start over would cost what was trained
        copy.fetch(checkpoint)
    relay.heal()
    far("none").fetch(checkpoint)
    assert not checkpoint.exists()
    copy.fetch(checkpoint)
    assert checkpoint.read_bytes() == b"an epoch"


def test_a_bucket_that_is_not_there_is_no_missing_checkpoint(world: World, tmp_path: Path) -> None:
    copy = RemoteCheckpoint(world.context().store, "s3://no-such-bucket/checkpoints")
    with pytest.raises(DataError, match="no bucket no-such-bucket"):
        copy.fetch(tmp_path / "last.ckpt")
