"""Every caller of a stage goes through here; a toy stage stands in for the real ones."""

import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock
from threadpoolctl import threadpool_info

from adloom.config import params
from adloom.config.base import ConfigModel
from adloom.config.params import Register
from adloom.context import StageContext
from adloom.errors import DataError, ExternalServiceError, LockedError
from adloom.stages import runner
from adloom.storage import manifest
from adloom.storage.base import SourceFile, Store, is_remote
from adloom.training import checkpoints

LOADED = params.load(Path(__file__).parents[3] / "params.yaml")


@dataclass(frozen=True)
class Inputs:
    table: Path = Path("data/dataset/copy")


@dataclass(frozen=True)
class Outputs:
    model: Path = Path("models/toy")


def run(inputs: Inputs, outputs: Outputs, block: ConfigModel, context: StageContext) -> dict[str, float]:
    with manifest.draft(outputs.model, "toy", block, {}) as draft:
        (draft.path / "copied.txt").write_bytes((inputs.table / "rows.txt").read_bytes())
    return {"size": 5.0}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("adloom.stages.segment")
    vars(module).update(Inputs=Inputs, Outputs=Outputs, run=run)
    monkeypatch.setitem(sys.modules, "adloom.stages.segment", module)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/dataset/copy").mkdir(parents=True)
    (tmp_path / "data/dataset/copy/rows.txt").write_text("hello", encoding="utf-8")


@pytest.mark.parametrize(("block", "count"), [(LOADED.segment, 1), (LOADED.evaluate, LOADED.evaluate.threads)])
def test_a_stage_has_its_own_number_of_threads(context: StageContext, block: ConfigModel, count: int) -> None:
    runner.run_stage("segment", {}, block, context)
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {count}


@dataclass
class Bucket(Store):
    """A store whose s3:// uris are folders."""

    root: Path

    def list(self, uri: str) -> list[SourceFile]:
        return []

    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        return files

    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        return self.root / uri.removeprefix("s3://") if is_remote(uri) else Path(uri)

    def require(self, uri: str) -> None:
        if uri.startswith("s3://no-such"):
            raise DataError(f"{uri}: no bucket")

    def push(self, folder: Path, uri: str) -> None:
        folder.rename(self.root / uri.removeprefix("s3://"))

    def remove(self, uri: str) -> None:
        shutil.rmtree(self.root / uri.removeprefix("s3://"))


def test_paths_not_given_are_the_defaults(context: StageContext) -> None:
    assert runner.run_from_params("segment", {}, LOADED, context) == {"size": 5.0}
    assert Path("models/toy/copied.txt").read_text(encoding="utf-8") == "hello"


def test_s3_paths_are_fetched_before_and_pushed_after(context: StageContext, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    (bucket / "in").mkdir(parents=True)
    (bucket / "in/rows.txt").write_text("far", encoding="utf-8")
    far = replace(context, store=Bucket(bucket))
    runner.run_from_params("segment", {"table": "s3://in", "model": "s3://out"}, LOADED, far)
    assert (bucket / "out/copied.txt").read_text(encoding="utf-8") == "far"
    assert not Path("models").exists()


def test_an_output_without_a_bucket_is_refused_before_the_work(context: StageContext, tmp_path: Path) -> None:
    far = replace(context, store=Bucket(tmp_path))
    with pytest.raises(DataError, match="s3://no-such/out: no bucket"):
        runner.run_from_params("segment", {"table": "s3://gone", "model": "s3://no-such/out"}, LOADED, far)


class Unreachable(Bucket):
    """A bucket that takes nothing."""

    def push(self, folder: Path, uri: str) -> None:
        raise ExternalServiceError(f"{uri}: no answer")


def test_a_checkpoint_is_removed_once_its_artifact_is_stored(context: StageContext, tmp_path: Path) -> None:
    checkpoint = checkpoints.checkpoint_path(context.home, "segment", "key")

    def train(inputs: Inputs, outputs: Outputs, block: ConfigModel, context: StageContext) -> dict[str, float]:
        metrics = run(inputs, outputs, block, context)
        checkpoints.mark_finished(checkpoint, outputs.model)
        checkpoint.touch()
        return metrics

    vars(sys.modules["adloom.stages.segment"]).update(run=train)
    with pytest.raises(ExternalServiceError):
        runner.run_from_params("segment", {"model": "s3://out"}, LOADED, replace(context, store=Unreachable(tmp_path)))
    assert checkpoint.exists()
    runner.run_from_params("segment", {"model": "s3://out"}, LOADED, replace(context, store=Bucket(tmp_path)))
    assert not checkpoint.parent.exists()


def test_only_rank_0_writes_and_tracks(context: StageContext, tmp_path: Path) -> None:
    second = replace(context, store=Unreachable(tmp_path), rank=1, processes=2)
    assert runner.run_from_params("segment", {"model": "s3://no-such/out"}, LOADED, second) == {"size": 5.0}
    assert runner.run_from_params("segment", {}, LOADED, second) == {"size": 5.0}
    assert not Path("models").exists()
    assert not context.home.exists()


def test_two_runs_never_write_one_output_at_once(context: StageContext, tmp_path: Path) -> None:
    locks = context.home / "locks"
    locks.mkdir(parents=True)
    name = str((tmp_path / "models/toy").absolute()).strip("/").replace("/", "-")
    with FileLock(locks / f"{name}.lock"), pytest.raises(LockedError, match="models/toy: another run is writing it"):
        runner.run_from_params("segment", {}, LOADED, context)
    assert not Path("models").exists()


def test_each_stage_gets_its_own_block() -> None:
    assert LOADED.block("segment") is LOADED.segment
    assert LOADED.block("report") is LOADED.gate
    assert LOADED.block("register") == Register(evaluate=LOADED.evaluate, gate=LOADED.gate)
