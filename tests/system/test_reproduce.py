"""Reproduction with real git and DVC: code of the commit, continued after a stop, and cleaned up."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.support import shop

from adloom.config.params import TABLES, Prepare
from adloom.config.settings import Settings
from adloom.datasets import dataset, run_record
from adloom.datasets import reproduce as verb
from adloom.datasets.run_record import RunRecord
from adloom.errors import AdloomError, ConfigError
from adloom.storage import manifest
from adloom.tracking import provenance

MAKE = """
import os
from pathlib import Path
from adloom.config.base import ConfigModel
from adloom.storage import manifest
from adloom.tracking import provenance

if os.environ.get("STOP"):
    raise SystemExit("stopped")
inputs = {"creatives": Path("data/dataset/creatives")}
with manifest.draft(Path("models/cnn"), "train_cnn", ConfigModel(), inputs) as draft:
    (draft.path / "weights").write_text("as committed")
"""


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """The record of a project with one quick training, which is the working folder; its code was changed since."""
    monkeypatch.chdir(tmp_path)
    stages = yaml.safe_load((shop.SHIPPED.parent / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    never = {name: {**stages[name], "cmd": "false"} for name in ("ingest", "prepare")}
    train = {"cmd": f"{sys.executable} make.py", "deps": ["data/dataset/creatives", "make.py"], "outs": ["models/cnn"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {**never, "train_cnn": train}}), encoding="utf-8")
    Path("make.py").write_text(MAKE, encoding="utf-8")
    shop.write_params(tmp_path, shop.params())
    for table in TABLES:
        manifest.skip(dataset.FOLDER / table, "prepare", Prepare(), "no source")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init"], ["add", "dvc.yaml", "make.py"], [*identity, "commit", "--message", "the code"]):
        subprocess.run(["git", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([sys.executable, "make.py"], check=True)
    name = dataset.compute_digest("shop", dataset.table_folders(dataset.FOLDER))
    built = run_record.build_record(shop.params(), {}, name, tmp_path, Settings())
    Path("make.py").write_text(MAKE.replace("as committed", "changed since"), encoding="utf-8")
    return built


def repeat(recorded: RunRecord) -> list[verb.Comparison]:
    return verb.reproduce("r1", recorded, Settings(quiet=True), None)


def test_an_interrupted_reproduction_continues_and_its_folder_is_deleted_when_all_is_equal(
    recorded: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOP", "1")
    with pytest.raises(AdloomError, match=r"run r1: dvc repro .*reproduce/r1; the same command"):
        repeat(recorded)
    assert Path(".adloom/reproduce/r1/make.py").is_file()
    monkeypatch.delenv("STOP")
    rows = repeat(recorded)
    assert [row.name for row in rows] == [*(f"data/dataset/{table}" for table in TABLES), "models/cnn"]
    assert all(row.equal for row in rows)
    assert list(Path(".adloom/reproduce").iterdir()) == []
    assert len(subprocess.check_output(["git", "worktree", "list"], text=True).splitlines()) == 1


def test_a_difference_is_reported_and_its_folder_kept(recorded: RunRecord) -> None:
    other = recorded.model_copy(update={"artifacts": {**recorded.artifacts, "models/cnn": "0" * 64}})
    rows = repeat(other)
    assert [row.name for row in rows if not row.equal] == ["models/cnn"]
    assert Path(".adloom/reproduce/r1/models/cnn/weights").read_text(encoding="utf-8") == "as committed"


def test_a_checkout_of_the_user_is_kept(recorded: RunRecord) -> None:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ConfigError, match="repository, which would be overwritten; name another with --into"):
        verb.reproduce("r1", recorded, Settings(quiet=True), Path())
    assert Path("params.yaml").read_bytes() == before
    assert Path("make.py").read_text(encoding="utf-8").count("changed since")


def test_changes_of_recorded_files_alone_do_not_make_the_code_dirty(recorded: RunRecord) -> None:
    def commit(*add: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        for command in (["add", *add], [*identity, "commit", "--message", "more", "--quiet"]):
            subprocess.run(["git", *command], check=True)

    Path("elsewhere").mkdir()
    Path("elsewhere/params.yaml").write_text("theirs", encoding="utf-8")
    commit("make.py", "params.yaml", "elsewhere/params.yaml")
    Path("params.yaml").write_text("ours", encoding="utf-8")
    assert not str(provenance.find_commit(Settings())).endswith("-dirty")
    Path("elsewhere/params.yaml").write_text("changed", encoding="utf-8")
    assert str(provenance.find_commit(Settings())).endswith("-dirty")
    assert provenance.find_commit(Settings(git_commit="abc-dirty")) == "abc-dirty"
