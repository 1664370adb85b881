"""Folders of pictures, with subfolders as categories, and tables with paths of pictures."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.support.source_files import message, open_source, read, written

from adloom.config.sources import Source
from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading import picture_folders


def test_a_folder_names_categories_by_its_subfolders(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    for name in ("dresses/1.png", "dresses/summer/2.png", "hats/3.png", "stray.png", "hats/.hidden"):
        written(tmp_path, name, png.getvalue())
    (tmp_path / "empty").mkdir()
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
    assert message(tmp_path, source, "creatives") == f"ingest.creatives.uri: {tmp_path}: an empty folder"
    path = written(tmp_path, "hats/1.png", b"1")
    assert "expected a folder with a subfolder per category" in message(path, source, "creatives")


def test_a_partition_names_the_category_too(tmp_path: Path) -> None:
    written(tmp_path, "category=red%20hats/1.png", b"1")
    rows = read(tmp_path, Source(uri="p", format="folder"), "creatives")
    assert rows[["creative_id", "category"]].values.tolist() == [["category=red%20hats/1.png", "red hats"]]


TABLE = Source(
    uri="shop",
    format="csv",
    columns={"image": "path", "category": "kind", "attr_colour": "colour", "attr_tone": "tone"},
)
ROWS = "path,kind,colour,tone\n"


def test_a_table_names_pictures_their_categories_and_attributes(tmp_path: Path) -> None:
    written(tmp_path, "lists/a.csv", ROWS + "img/1.png,hat,red,\n./2.png,shoe,blue,dark\nimg\\1.png,hat,,\n")
    written(tmp_path, "img/1.png", b"one")
    written(tmp_path, "lists/2.png", b"two")  # next to the table
    rows = read(tmp_path, TABLE, "creatives")
    assert rows["image"].tolist() == [b"one", b"two", b"one"]
    assert rows["creative_id"].tolist() == ["img/1.png", "./2.png", "img\\1.png"]
    assert rows["attr_colour"].fillna("").tolist() == ["red", "blue", ""]
    assert PARSE_ERROR not in rows


@pytest.mark.parametrize("path", ["gone.png", "../secret.png", "/etc/passwd", "img/../../secret.png", "img", "a.pdf"])
def test_a_path_of_no_picture_of_the_source_breaks_its_row(tmp_path: Path, path: str) -> None:
    written(tmp_path, "shop/a.csv", ROWS + f"{path},hat,,\nimg/1.png,hat,,\n,hat,,\n")
    for name in ("shop/img/1.png", "shop/a.pdf", "secret.png"):
        written(tmp_path, name, b"1")
    rows = read(tmp_path / "shop", TABLE, "creatives")
    assert rows["image"].notna().tolist() == [False, True, False]
    errors = rows[PARSE_ERROR].fillna("").tolist()
    assert errors == ["image: no file of this path below the source", "", ""]  # the last is missing, as prepare says


def test_pictures_within_the_table_are_decoded(tmp_path: Path) -> None:
    uris = ["data:image/png;base64,b25l", "data:image/png;base64,??", "data:image/png,one", "data:image/png;base64,"]
    written(
        tmp_path, "a.csv", "id,path,kind,colour,tone\n" + "".join(f'{n},"{uri}",hat,,\n' for n, uri in enumerate(uris))
    )
    source = TABLE.model_copy(update={"columns": {**TABLE.columns, "creative_id": "id"}})
    rows = read(tmp_path, source, "creatives")
    assert rows["image"].tolist()[0] == b"one"
    assert rows[PARSE_ERROR].notna().tolist() == [False, True, True, True]
    assert "a data URI without base64" in rows[PARSE_ERROR][1]


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_folders, "MAX_BYTES", 3)
    written(tmp_path, "hats/1.png", b"123")
    written(tmp_path, "hats/2.png", b"1234")
    rows = read(tmp_path, Source(uri="p", format="folder"), "creatives")
    assert rows["image"].notna().tolist() == [True, False]
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", "image: a file above 128 MiB"]


def test_names_match_in_either_unicode_form(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", ROWS + "Kr\u00e4ne.png,hat,,\n")
    written(tmp_path, "Kra\u0308ne.png", b"1")
    assert read(tmp_path, TABLE, "creatives")["image"].tolist() == [b"1"]


def test_pictures_of_a_table_come_in_chunks_and_keep_broken_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_folders, "BYTES_PER_CHUNK", 10)
    written(tmp_path, "a.csv", ROWS + "1.png,hat,,\nbroken\n" + "1.png,hat,,\n" * 3)
    written(tmp_path, "1.png", b"12345678")
    chunks = list(open_source(tmp_path / "a.csv", TABLE, "creatives").read_chunks())
    assert [len(chunk) for chunk in chunks] == [3, 2]
    assert chunks[0][PARSE_ERROR].notna().tolist() == [False, True, False]


def test_pictures_inside_a_table_stay(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([b"\xff\x00", b"text"]), "category": ["a", "b"], "creative_id": ["1", "2"]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", Source(uri="a", format="parquet"), "creatives")
    assert rows["image"].tolist() == [b"\xff\x00", b"text"]
