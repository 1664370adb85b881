"""A dataset goes from one project through S3 to another, and a recorded run is reproduced."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import preloaded, seaweedfs, shop
from tests.support.seaweedfs import BUCKET, Server

from adloom.cli import run
from adloom.config import params
from adloom.config.models import MODELS
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.context import StageContext, build_context
from adloom.datasets import dataset, dvc_remote, pull, run_record
from adloom.stages import runner, sources_lock
from adloom.storage import manifest

BIN = Path(sys.executable).parent
REMOTE = f"s3://{BUCKET}/origin"
TRAININGS = [spec.stage.replace("_", "-") for spec in MODELS.values()]


@dataclass(frozen=True)
class Origin:
    """A project in a git repository with a recorded run, and its dataset pushed."""

    folder: Path
    digest: str
    run_id: str
    artifacts: dict[str, str]
    variables: dict[str, str]  # of everybody who uses the same S3 and MLflow

    def call(self, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        """Call a program of this environment as a user of S3 and MLflow, who has neither sources nor key."""
        variables = {**os.environ, **self.variables, "CI": "true", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def origin(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A shop that has copy alone. Its dataset is pushed from a folder without git or DVC, then its sources are gone."""
    folder = tmp_path_factory.mktemp("origin")
    variables = {
        **server.environment(),
        "AWS_CONFIG_FILE": str(folder / "absent"),
        "ADLOOM_DVC_REMOTE": REMOTE,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    with pytest.MonkeyPatch.context() as patch:
        seaweedfs.visit(server, patch)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        loaded, world = start(folder), build_context(Settings(quiet=True), "shop")
        whole_way(loaded, world)
        digest = push_from_a_pod(folder, folder / ".adloom" / "pod")
        made = run_record.build_record(loaded.model_dump(mode="json", by_alias=True), {}, digest, folder, Settings())
        run_id = run_record.save_record_if_new(made, world.tracker)
    for gone in ("shop", "data", "models", "reports"):
        shutil.rmtree(folder / gone)
    assert run_id
    return Origin(folder, digest, run_id, made.artifacts, variables)


def start(folder: Path) -> Params:
    """Do what a user does first: init, the shop's files, params, a commit."""
    for command in ([str(BIN / "adloom"), "init", "."], ["git", "init", "--quiet"]):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    values = shop.write_shop(folder, pictures=1)
    values["ingest"] = {"copy": values["ingest"]["copy"]}
    loaded = params.load(shop.write_params(folder, values))
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "add", "dvc.yaml", "params.yaml", ".gitignore"], cwd=folder, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "the shop"], cwd=folder, check=True)
    return loaded


def whole_way(loaded: Params, world: StageContext) -> None:
    """Call every stage in this process, each with its default paths."""
    sources_lock.save(sources_lock.scan(loaded, world), sources_lock.LOCK)
    for stage in ("ingest", "prepare", *TRAININGS):
        runner.run_from_params(stage, {}, loaded, world)
    for model, spec in MODELS.items():
        paths = {"model": f"models/{model}", "table": f"data/dataset/{spec.table}", "report": f"reports/{model}"}
        judge = {"judge": f"models/{spec.judge}"} if spec.judge else {}
        runner.run_from_params("evaluate", paths | judge, loaded, world)
    runner.run_from_params("report", {}, loaded, world)


def push_from_a_pod(folder: Path, pod: Path) -> str:
    """Push from where there are the tables and nothing else."""
    shutil.copytree(folder / dataset.FOLDER, pod)
    return dataset.push("shop", dataset.table_folders(pod), dvc_remote.open_remote(Settings(quiet=True), pod)).digest


@pytest.fixture(scope="module")
def laptop(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another folder, with the same params, that pulled the dataset by its first digits."""
    folder = tmp_path_factory.mktemp("laptop")
    origin.call(folder, "adloom", "init", ".")
    shutil.copy(origin.folder / "params.yaml", folder)
    pulled = origin.call(folder, "adloom", "dataset", "pull", origin.digest[:8])
    assert pulled.returncode == 0, pulled.stderr
    return folder


def test_a_pushed_dataset_is_listed_with_its_rows(origin: Origin) -> None:
    shown = origin.call(origin.folder, "adloom", "dataset", "list")
    (line,) = shown.stdout.splitlines()
    assert line.startswith(origin.digest)
    assert "copy 300" in line


def test_no_raw_table_and_no_key_is_in_the_remote(origin: Origin, server: Server) -> None:
    keys = server.keys(BUCKET, "origin/")
    document = f"datasets/{origin.digest}.json"
    assert {key for key in keys if not key.startswith("files/md5/")} == {document}
    tables = json.loads(server.get(BUCKET, f"origin/{document}"))["tables"].values()
    assert len(keys) == 1 + len({table["md5"] for table in tables}) + sum(table["files"] for table in tables)


def test_after_a_pull_dvc_would_train_and_not_ingest(origin: Origin, laptop: Path) -> None:
    assert not (laptop / "shop").exists()
    ran = origin.call(laptop, "dvc", "repro", "--dry", "train_lstm")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "Stage 'ingest' didn't change, skipping" in ran.stdout
    assert "Stage 'prepare' didn't change, skipping" in ran.stdout
    assert "Running stage 'train_lstm'" in ran.stdout


def test_dvc_itself_finds_the_dataset_in_the_remote(origin: Origin, laptop: Path) -> None:
    origin.call(laptop, "dvc", "remote", "add", "--default", "store", REMOTE)
    shutil.rmtree(laptop / ".dvc" / "cache")
    shutil.rmtree(laptop / dataset.FOLDER)
    pulled = origin.call(laptop, "dvc", "pull", "prepare")
    assert pulled.returncode == 0, pulled.stderr
    assert dataset.compute_digest("shop", dataset.table_folders(laptop / dataset.FOLDER)) == origin.digest


def test_a_recorded_run_is_reproduced_in_a_worktree_of_its_commit(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    (origin.folder / "dvc.yaml").write_text("stages: {}\n")  # since the commit
    program = [sys.executable, preloaded.__file__, "reproduce"]
    ran = origin.call(origin.folder, *program, origin.run_id, "--into", str(again))
    assert ran.returncode == 0, ran.stderr + ran.stdout
    table = ran.stdout.splitlines()[-len(origin.artifacts) :]
    assert [line.split()[0] for line in table] == [name for name in run_record.ARTIFACTS if name in origin.artifacts]
    assert all(line.endswith("  equal") for line in table)
    assert {name: manifest.digest(again / name) for name in origin.artifacts} == origin.artifacts
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=origin.folder, text=True)
    assert subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=again, text=True) == head

    went_on = origin.call(again, "dvc", "repro", "--dry")  # on the pulled dataset: there are no sources
    assert went_on.returncode == 0, went_on.stderr + went_on.stdout
    assert "Running stage" not in went_on.stdout
    monkeypatch.chdir(again)
    loaded = params.load(again / "params.yaml")
    run.scan_sources(loaded, build_context(Settings(quiet=True), "shop"))
    assert f"the dataset was pulled; `rm -r {pull.RAW}`" in capsys.readouterr().err


def test_a_run_without_a_record_is_named(origin: Origin) -> None:
    ran = origin.call(origin.folder, "adloom", "reproduce", "0" * 32)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith(f"adloom: run {'0' * 32}: no such run in MLflow at sqlite:///")
