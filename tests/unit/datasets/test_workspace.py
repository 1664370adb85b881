"""The workspace: one run at a time, and a pipeline is required."""

from pathlib import Path

import pytest
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
