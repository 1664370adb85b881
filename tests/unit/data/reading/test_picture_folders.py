"""Folders of pictures: their subfolders are categories."""

import io
from pathlib import Path

import pytest
from PIL import Image
from tests.support.source_files import message, open_source, read, written

from adloom.config.sources import Source
from adloom.data.reading import picture_folders


def test_a_folder_names_categories_by_its_subfolders(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    for name in ("dresses/1.png", "dresses/summer/2.png", "hats/3.png", "stray.png", "hats/.hidden"):
        written(tmp_path, name, png.getvalue())
    rows = read(tmp_path, Source(uri="pictures", format="folder"), "creatives")
    assert rows["creative_id"].tolist() == ["dresses/1.png", "dresses/summer/2.png", "hats/3.png", "stray.png"]
    assert rows["category"].fillna("").tolist() == ["dresses", "dresses", "hats", ""]
    assert rows["image"].tolist() == [png.getvalue()] * 4


def test_many_pictures_come_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_folders, "BYTES_PER_CHUNK", 10)
    for number in range(5):
        written(tmp_path, f"hats/{number}.png", b"12345678")
    sizes = [len(c) for c in open_source(tmp_path, Source(uri="p", format="folder"), "creatives").read_chunks()]
    assert sizes == [2, 2, 1]


def test_a_folder_without_pictures_or_that_is_none(tmp_path: Path) -> None:
    source = Source(uri="pictures", format="folder")
    (tmp_path / "hats").mkdir()
    assert message(tmp_path, source, "creatives") == f"{tmp_path}: an empty folder"
    path = written(tmp_path, "hats/1.png", b"1")
    assert "expected a folder with a subfolder per category" in message(path, source, "creatives")
