"""The workspace: one run at a time, and a pipeline is required."""

import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.unit.datasets.conftest import Make

from adloom.cli import datasets
from adloom.config.settings import Settings
from adloom.datasets import workspace
from adloom.errors import ConfigError, LockedError


def test_tables_of_a_running_workspace_are_not_pushed_and_those_of_another_folder_are(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("data/dataset", "warm hat")
    make("elsewhere", "warm hat")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADLOOM_DVC_REMOTE", str(tmp_path / "remote"))
    with workspace.lock_workspace(Settings().home, tmp_path):
        mine = CliRunner().invoke(datasets.dataset, ["push"])
        other = CliRunner().invoke(datasets.dataset, ["push", "--from", "elsewhere"])
    assert str(mine.exception) == f"{tmp_path}: another `adloom run` works here; wait for it or stop it"
    assert other.exit_code == 0


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no dvc\.yaml; `adloom init DIR`"):
        workspace.require_pipeline(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    workspace.require_pipeline(tmp_path)


def test_the_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with workspace.lock_workspace(tmp_path / "home", tmp_path), pytest.raises(LockedError, match=str(tmp_path)):
            workspace.lock_workspace(tmp_path / "home", tmp_path).__enter__()


def write_pipeline(folder: Path, cnn: str, gan: str) -> None:
    """Write a pipeline of two trainings in different groups."""
    stages = {"prepare": "touch prepared", "train_cnn": f"{cnn} && touch cnn", "train_gan": f"{gan} && touch gan"}
    outputs = {"prepare": "prepared", "train_cnn": "cnn", "train_gan": "gan"}
    pipeline = {
        name: {"cmd": command, "outs": [outputs[name]], "deps": [] if name == "prepare" else ["prepared"]}
        for name, command in stages.items()
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline}))
    workspace.initialise_dvc(folder)


@pytest.mark.slow
def test_two_groups_of_stages_run_side_by_side(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meeting")  # a writer waits for a reader
    write_pipeline(tmp_path, "echo here | timeout 60 tee meeting", "timeout 60 cat meeting")
    assert workspace.run_stages(folder=tmp_path)
    assert (tmp_path / "cnn").is_file()
    assert (tmp_path / "gan").is_file()


@pytest.mark.slow
def test_a_failed_stage_does_not_stop_the_other_group(tmp_path: Path) -> None:
    write_pipeline(tmp_path, "false", "true")
    assert not workspace.run_stages(folder=tmp_path)
    assert (tmp_path / "gan").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["stages: [", "[1]"])
def test_a_broken_pipeline_is_explained_by_dvc(
    tmp_path: Path, pipeline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.initialise_dvc(tmp_path)
    (tmp_path / "dvc.yaml").write_text(pipeline)
    assert not workspace.run_stages(folder=tmp_path)
    assert "dvc.yaml" in capfd.readouterr().err
