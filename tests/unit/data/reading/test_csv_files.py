"""CSV files: every dialect gives text, and a damaged file is one line that names it."""

import gzip
from pathlib import Path

import pytest
from tests.support.source_files import COPY, EVENTS, message, open_source, read, written

from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading import csv_files


def test_csv_files_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "lines.csv", '\ufefftext,category\r\n"two\nlines, one ""field""",NA\r\n\r\nnull,\r\n')
    rows = read(path, COPY, "copy")
    assert rows["text"].tolist() == ['two\nlines, one "field"', "null"]
    assert rows["category"].fillna("").tolist() == ["NA", ""]  # NA is a word, an empty field is missing


def test_runs_of_blanks_separate_columns(tmp_path: Path) -> None:
    source = EVENTS.model_copy(update={"separator": "whitespace"})
    rows = read(written(tmp_path, "orders.txt", " customer  when total\n 0007 19970101  1.5\n"), source, "events")
    assert rows.iloc[0].to_dict() == {"user_id": "0007", "timestamp": "19970101", "value": "1.5", "event": "purchase"}


def test_a_folder_of_csv_files_compressed_or_not_is_one_table(tmp_path: Path) -> None:
    written(tmp_path, "2026/a.csv", "text\nfirst\n")
    written(tmp_path, "2026/b.csv.gz", gzip.compress(b"text\nsecond\n"))
    written(tmp_path, "_SUCCESS", b"")
    written(tmp_path, ".DS_Store", b"\0")
    rows = read(tmp_path, COPY, "copy")
    assert rows["text"].tolist() == ["first", "second"]
    assert rows["copy_id"].tolist() == ["00000000", "00000001"]  # numbered, since the source names no rows


def test_a_line_with_another_number_of_fields_breaks_no_other_line(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", "text,category\na,b\nc\nd,e,f\ng,h\n"), COPY, "copy")
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", "line: 1 fields, expected 2", "line: 3 fields, expected 2", ""]
    assert rows["text"].fillna("").tolist() == ["a", "", "", "g"]


def test_a_long_csv_comes_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "ROWS_PER_CHUNK", 2)
    chunks = [*open_source(written(tmp_path, "lines.csv", "text\n1\n2\n3\n"), COPY, "copy").read_chunks()]
    assert [chunk["copy_id"].tolist() for chunk in chunks] == [["00000000", "00000001"], ["00000002"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "lines.csv: empty; expected a first line with the columns' names"),
        (b"text\n", "lines.csv (ingest.copy): no rows"),
        (b"line\nx\n", "lines.csv (ingest.copy): no column for text"),
        (
            "text\ncafé\n".encode("latin1"),
            "lines.csv: not UTF-8 (byte 0xe9); `iconv -f LATIN1 -t UTF-8` converts it",
        ),
        (b'text\n"never closed\n', "lines.csv: unexpected end of data"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in message(written(tmp_path, "lines.csv", content), COPY, "copy")


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"text\n" + bytes(range(97, 123)) * 999)
    for content in (whole[:-20], b"not gzip"):
        path = written(tmp_path, "lines.csv.gz", content)
        assert message(path, COPY, "copy") == f"{path}: truncated or damaged gzip; fetch it again"
