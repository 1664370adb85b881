"""`adloom init`: the files of a new project, and no file overwritten."""

from pathlib import Path

import pytest

from adloom.config import params
from adloom.datasets.project import apply_overlay, init_project, list_presets, project_name
from adloom.errors import UserError


def test_a_new_project_has_valid_params_and_a_pipeline(tmp_path: Path) -> None:
    paths = init_project(tmp_path / "new")
    assert all(path.is_file() for path in paths)
    assert {"params.yaml", "dvc.yaml", ".gitignore"} <= {path.name for path in paths}
    assert params.load(tmp_path / "new" / "params.yaml").project == "new"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shopA", "shopa"),
        ("My Café_2", "my-cafe-2"),
        ("2026", "project-2026"),
        ("a" * 50, "a" * 40),
        ("true", "project-true"),
        ("-", "project-3973e022"),
        ("店", "project-aaded36a"),
    ],
)
def test_a_project_has_the_name_of_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert project_name(folder) == name
    init_project(tmp_path / folder)
    assert params.load(tmp_path / folder / "params.yaml").project == name


def test_the_working_folder_gives_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    init_project(Path())
    assert params.load(Path("params.yaml")).project == "shop"


def test_an_existing_file_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"has dvc\.yaml already"):
        init_project(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("preset", list_presets())
def test_every_preset_gives_valid_params_that_differ(tmp_path: Path, preset: str) -> None:
    for folder, name in [("plain", None), ("changed", preset)]:
        init_project(tmp_path / folder, name)
    plain, changed = (params.load(tmp_path / folder / "params.yaml") for folder in ("plain", "changed"))
    assert changed.project == "changed"
    assert changed.model_copy(update={"project": "plain"}) != plain


def test_an_unknown_preset_is_answered_by_the_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--preset x: no such preset; expected one of .*classic_dcgan"):
        init_project(tmp_path / "new", "x")
    assert not (tmp_path / "new").exists()


def test_an_overlay_merges_mappings_and_replaces_other_values() -> None:
    text = "a: # why\n  b: {uri: x}\n  c: [1] # what\n  d: 'q'\n\nrules:\n  - {m: 1}\ne: 1\n"
    overlay = "a:\n  b: null\n  c: [3]\n  x: y\nf: {g: 0.5}\n"
    expected = "a: # why\n  b:\n  c: [3] # what\n  x: y\n  d: 'q'\n\nrules:\n  - {m: 1}\nf: {g: 0.5}\ne: 1\n"
    assert apply_overlay(text, overlay) == expected
    assert apply_overlay(text, "{}") == text
