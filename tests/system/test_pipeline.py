"""Another shop, from its files to models in MLflow: with DVC, and without it in a second folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import pytest
from tests.support import all_stages, preloaded, shop
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import Postgres
from tests.support.relay import Fault, Relay
from tests.support.seaweedfs import Server

from adloom.config import params
from adloom.config.models import MODELS
from adloom.config.params import TABLES
from adloom.config.settings import read_kernel_variables
from adloom.context import StageContext
from adloom.registry.base import fetch_champion, fetch_verified
from adloom.registry.mlflow import MlflowRegistry
from adloom.stages.register import register_all
from adloom.storage import manifest

BIN = Path(sys.executable).parent
KEY = "0123456789abcdef0123456789abcdef"
TRAINED = {name: spec for name, spec in MODELS.items() if name != "style"}  # which needs pretrained weights
ARTIFACTS = [
    *(f"data/raw/{table}" for table in TABLES),
    *(f"data/dataset/{table}" for table in TABLES),
    *(f"models/{model}" for model in TRAINED),
    *(f"reports/{model}" for model in TRAINED),
    "reports/report",
]


def adloom(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": KEY, **environment}
    return subprocess.run(
        [BIN / "adloom", *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def door(mlflow: MlflowServer) -> Iterator[Relay]:
    """The MLflow of every command here, behind a relay."""
    with Relay(mlflow.port) as door, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", door.endpoint)
        yield door


@pytest.fixture(scope="module")
def with_dvc(
    tmp_path_factory: pytest.TempPathFactory, door: Relay, mlflow: MlflowServer, database: Postgres, server: Server
) -> Path:
    """
    A folder in which `adloom init` and `adloom run` have run; in the middle of two trainings all servers were killed.

    They are there again when the next stage begins.
    """
    folder = tmp_path_factory.mktemp("with_dvc")
    adloom(folder, "init", ".")
    shop.write_params(folder, shop.write_shop(folder))
    with (folder / "adloom.log").open("w") as log, started(folder, log, "run") as run:
        starting = {"train_cnn", "train_gan"}  # side by side
        while starting:
            line = line_of(run, "Running stage")
            assert line
            starting -= {stage for stage in starting if stage in line}
        door.fail(Fault("cut", "write", 0, since=b"POST /api/2.0/mlflow/runs/log-batch"))
        assert door.has_struck(within=120), "the trainings told MLflow nothing"
        for end in (partial(mlflow.end, signal.SIGKILL), partial(database.end, signal.SIGQUIT), server.kill):
            end()
        assert line_of(run, "Running stage")
        os.killpg(run.pid, signal.SIGSTOP)  # else it depends on the machine whether they are there in time
        for start in (server.start, database.start, mlflow.start, door.heal):
            start()
        os.killpg(run.pid, signal.SIGCONT)
        rest, _ = run.communicate()
    assert run.returncode == 0, rest + (folder / "adloom.log").read_text()
    return folder


@contextmanager
def started(folder: Path, log: IO[str], *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """Start adloom in its own process group and kill it when the block ends; its output is a stream."""
    variables = {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": KEY, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, preloaded.__file__, *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def line_of(process: "subprocess.Popen[str]", words: str) -> str:
    """Wait for a line with these words and return it, "" if the process ended without it."""
    assert process.stdout
    return next((line for line in process.stdout if words in line), "")


def digests(folder: Path) -> dict[str, str]:
    return {artifact: manifest.digest(folder / artifact) for artifact in ARTIFACTS}


def test_the_run_made_every_artifact_whole(with_dvc: Path) -> None:
    for artifact in ARTIFACTS:
        assert manifest.verify(with_dvc / artifact).skipped is None
    assert list(with_dvc.rglob("*.partial")) == []


def test_every_training_is_tracked_once_and_in_full_although_servers_were_killed(with_dvc: Path, door: Relay) -> None:
    client = MlflowRegistry(door.endpoint, "shop")._server.client
    runs = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    names = sorted(["run", *(spec.stage for spec in TRAINED.values())])
    assert sorted(run.info.run_name for run in runs) == names
    assert {run.info.status for run in runs} == {"FINISHED"}
    for model in TRAINED:
        artifact = with_dvc / "models" / model
        run = by_name[manifest.read(artifact).stage]
        assert run.data.tags["manifest_digest"] == manifest.digest(artifact)
        card, history = (json.loads((artifact / name).read_text()) for name in ("card.json", "history.json"))
        assert run.data.params == {name: str(value) for name, value in card["params"].items()}
        for name, points in history.items():
            logged = [[point.step, point.value] for point in client.get_metric_history(run.info.run_id, name)]
            assert sorted(logged) == points
    warned = (with_dvc / "adloom.log").read_text()
    assert 1 <= warned.count("the training goes on; its numbers are queued") <= 2
    assert 1 <= warned.count("still away") <= 2  # both, if the other ends meanwhile
    assert "Traceback" not in warned


def test_what_was_registered_is_fetched_back_whole(with_dvc: Path, door: Relay, tmp_path: Path) -> None:
    registry = MlflowRegistry(door.endpoint, "shop")
    for model in TRAINED:
        (version,) = registry.versions(model)
        fetched = fetch_verified(registry, version, tmp_path / model)
        assert manifest.digest(fetched) == manifest.digest(with_dvc / "models" / model)
        if version.tags["verdict"] == "promote":
            assert fetch_champion(registry, model, tmp_path / "champions" / model)[0] == version


def test_without_mlflow_a_command_ends_with_one_line(with_dvc: Path, door: Relay) -> None:
    door.refuse()
    ended = adloom(with_dvc, "models")
    door.heal()
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"adloom: MLflow at {door.endpoint}: cannot list versions of gan: Connection refused; ")


def test_a_second_run_makes_nothing_again(with_dvc: Path, door: Relay) -> None:
    before = {artifact: (with_dvc / artifact / "manifest.json").stat().st_mtime_ns for artifact in ARTIFACTS}
    registry = MlflowRegistry(door.endpoint, "shop")
    versions = {model: registry.versions(model) for model in MODELS}
    ran = adloom(with_dvc, "run")
    assert ran.returncode == 0
    assert "Running stage" not in ran.stdout
    assert {a: (with_dvc / a / "manifest.json").stat().st_mtime_ns for a in ARTIFACTS} == before
    assert {model: registry.versions(model) for model in MODELS} == versions


def test_new_orders_do_not_retrain_the_gan(with_dvc: Path) -> None:
    orders = with_dvc / "shop" / "orders.csv"
    text, lock = orders.read_text(encoding="utf-8"), (with_dvc / "sources.lock").read_bytes()
    orders.write_text(text + "customer-1,10.0,2026-03-01\n", encoding="utf-8")
    try:
        adloom(with_dvc, "snapshot")
        status = subprocess.run(
            [sys.executable, "-m", "dvc", "repro", "--dry"], cwd=with_dvc, capture_output=True, text=True, check=True
        )
        assert "Running stage 'ingest'" in status.stdout
    finally:
        orders.write_text(text, encoding="utf-8")
        (with_dvc / "sources.lock").write_bytes(lock)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder with the same files and params, and the working folder of the test."""
    shop.write_params(tmp_path, shop.write_shop(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_calls_without_dvc_in_another_folder_give_the_same_bytes(
    with_dvc: Path, elsewhere: Path, context: StageContext
) -> None:
    all_stages.run_all(
        params.load(elsewhere / "params.yaml"),
        replace(context, pseudonym_key=KEY.encode(), kernels=read_kernel_variables()),
    )
    assert digests(elsewhere) == digests(with_dvc)


@pytest.mark.parametrize("table", TABLES)
def test_one_table_alone_reaches_the_registry(elsewhere: Path, context: StageContext, table: str) -> None:
    values = shop.params()
    values["ingest"] = {table: values["ingest"][table]}
    loaded = params.load(shop.write_params(elsewhere, values))
    all_stages.run_all(loaded, context)
    outcomes = {outcome.model: outcome for outcome in register_all(loaded.register, context)}
    for model, spec in TRAINED.items():
        skipped = manifest.read(elsewhere / "models" / model).skipped
        assert (skipped is None) == (spec.table == table)
        assert (outcomes[model].verdict == "skipped") == (spec.table != table)
    page = (elsewhere / "reports/report/report.html").read_text(encoding="utf-8")
    assert page.count("no source: ingest.") >= len(TABLES) - 1


def test_raw_identifiers_stay_in_raw(with_dvc: Path) -> None:
    folders = [with_dvc / "data" / "dataset", with_dvc / "models", with_dvc / "reports", with_dvc / ".dvc" / "cache"]
    leaks = [p for folder in folders for p in folder.rglob("*") if p.is_file() and b"customer-1" in p.read_bytes()]
    assert leaks == []


def test_no_artifact_contains_paths_or_times(with_dvc: Path) -> None:
    files = [p for a in ARTIFACTS if not a.startswith("data/raw") for p in (with_dvc / a).rglob("*") if p.is_file()]
    assert [p for p in files if str(with_dvc).encode() in p.read_bytes()] == []
