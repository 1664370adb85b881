"""`adloom init`: the files of a new project, and no file overwritten."""

from pathlib import Path

import pytest

from adloom.config import params
from adloom.datasets.project import init_project
from adloom.errors import UserError


def test_a_new_project_has_valid_params_and_a_pipeline(tmp_path: Path) -> None:
    paths = init_project(tmp_path / "new")
    assert all(path.is_file() for path in paths)
    assert {"params.yaml", "dvc.yaml", ".gitignore"} <= {path.name for path in paths}
    assert params.load(tmp_path / "new" / "params.yaml").project


def test_an_existing_file_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"has dvc\.yaml already"):
        init_project(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
