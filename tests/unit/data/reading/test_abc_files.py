"""Files of ABC notation: one tune or many, with what belongs to all of them."""

from pathlib import Path

from tests.support.source_files import read, written

from adloom.config.sources import Source
from adloom.data.contracts import PARSE_ERROR
from adloom.music.abc_notation import parse_abc

SOURCE = Source(uri="tunes", format="abc")
ONE = "X:1\nT: The Reel \nM:4/4\nL:1/4\nK:D\nDFAd|\n"
TWO = "X:2\nK:G\nGBdg|\n"


def test_every_tune_of_every_file_is_a_row(tmp_path: Path) -> None:
    written(tmp_path, "tunes/b.abc", f"{ONE}\nwords between two tunes\n\n{TWO}\n")
    written(tmp_path, "tunes/a.abc", "M:2/4\nK:C\nCE|\n")
    written(tmp_path, "tunes/readme.txt", "no tune")
    rows = read(tmp_path / "tunes", SOURCE, "tunes")
    assert rows["notation"].tolist() == ["M:2/4\nK:C\nCE|\n", ONE, TWO]
    assert rows["title"].fillna("").tolist() == ["", "The Reel", ""]
    assert rows["tune_id"].tolist() == ["00000000", "00000001", "00000002"]


def test_fields_before_the_first_tune_belong_to_all(tmp_path: Path) -> None:
    content = f"%abc-2.1\nM:6/8\nL:1/8\nwords\n\n{TWO}\n{TWO}"
    rows = read(written(tmp_path, "book.abc", content), SOURCE, "tunes")
    assert [str(parse_abc(notation).metre) for notation in rows["notation"]] == ["6/8", "6/8"]


def test_a_broken_line_breaks_its_tune_alone(tmp_path: Path) -> None:
    content = ONE.encode() + b"T: caf\xc3\xa9\n" + TWO.encode() + b"G\0B|\n"
    rows = read(written(tmp_path, "book.abc", content), SOURCE, "tunes")
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", "line: a NUL byte"]


def test_other_encodings_are_read(tmp_path: Path) -> None:
    content = "X:1\nT:Löffel\nK:C\nCE|\n".encode("cp1252")
    source = SOURCE.model_copy(update={"encoding": "cp1252"})
    assert read(written(tmp_path, "book.abc", content), source, "tunes")["title"].tolist() == ["Löffel"]
