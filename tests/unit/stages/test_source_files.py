"""The files of a source that are locked and read."""

from pathlib import Path

import pytest
from tests.support.source_files import written

from adloom.config.sources import Source
from adloom.stages.source_files import locate_files
from adloom.storage.local import FolderStore


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("creatives.csv", "other.csv", "img/1.png", "img/.thumbs/1.png", "notes.pdf"):
        written(tmp_path, f"shop/{name}", "x")
    return tmp_path / "shop"


def locate(uri: Path, table: str) -> tuple[str, list[str]]:
    located = locate_files(Source(uri=str(uri), format="csv"), table, FolderStore())
    assert tuple(file.path for file in located.listed) == located.data.paths
    return located.root, [*located.data.paths]


def test_a_tables_files_are_those_of_its_format(shop: Path) -> None:
    assert locate(shop, "events") == (str(shop), ["creatives.csv", "other.csv"])
    assert locate(shop / "other.csv", "events") == (str(shop / "other.csv"), ["other.csv"])


def test_a_table_of_pictures_comes_with_the_pictures_of_its_folder(shop: Path) -> None:
    assert locate(shop / "creatives.csv", "creatives") == (str(shop), ["creatives.csv", "img/1.png"])
    assert locate(shop, "creatives") == (str(shop), ["creatives.csv", "img/1.png", "other.csv"])


def test_a_file_without_a_folder_lies_in_this_one(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    assert locate(Path("creatives.csv"), "creatives") == (".", ["creatives.csv", "img/1.png"])
