from pathlib import Path

import pytest

from adloom.config.settings import Settings
from adloom.library.location import has_library, open_library


def test_the_library_is_in_the_home_folder_by_default(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert not has_library(settings)
    open_library(settings).close()
    assert has_library(settings)
    assert (tmp_path / "home" / "library.db").is_file()


def test_the_environment_names_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_LIBRARY_URL", f"sqlite:///{tmp_path}/shop.db")
    monkeypatch.setenv("ADLOOM_LIBRARY_FILES", f"{tmp_path}/files")
    settings = Settings(home=tmp_path / "home")
    assert has_library(settings)
    library = open_library(settings)
    library.close()
    assert library.files.url == f"{tmp_path}/files"
    assert (tmp_path / "shop.db").is_file()
