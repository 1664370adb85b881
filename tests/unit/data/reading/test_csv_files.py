"""CSV files: every dialect gives text, and a broken line stays alone."""

import csv
import gzip
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.source_files import COPY, EVENTS, open_source, read, written

from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.reading import csv_files, records


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


def test_a_broken_line_of_a_subfolder_is_found(tmp_path: Path) -> None:
    written(tmp_path, "2026/a.csv", "text\na\nb,c\n")
    assert read(tmp_path, COPY, "copy")[PLACE].dropna().tolist() == ["2026/a.csv line 3"]


def test_a_line_with_another_number_of_fields_breaks_no_other_line(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", "text,category\na,b\nc\nd,e,f\ng,h\n"), COPY, "copy")
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", "line: 1 fields, expected 2", "line: 3 fields, expected 2", ""]
    assert rows["text"].fillna("").tolist() == ["a", "", "", "g"]


def test_a_long_csv_comes_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "ROWS_PER_CHUNK", 2)
    chunks = [*open_source(written(tmp_path, "lines.csv", "text\n1\n2\n3\n"), COPY, "copy").read_chunks()]
    assert [chunk["copy_id"].tolist() for chunk in chunks] == [["00000000", "00000001"], ["00000002"]]


def test_a_stray_quote_breaks_its_line_only(tmp_path: Path) -> None:
    rows = read(
        written(tmp_path, "lines.csv", 'id,text\n1,a\n2,"Best" shirts\n3,5" screens\n4,"b, ""c"""\n'), COPY, "copy"
    )
    assert rows["text"].fillna("").tolist() == ["a", "", '5" screens', 'b, "c"']
    assert rows[PARSE_ERROR].dropna().to_dict() == {1: csv_files.STRAY_QUOTE}
    assert rows[PLACE].dropna().tolist() == ["lines.csv line 3"]


@pytest.mark.parametrize("end", ["", '40,"a, b"\n41,c\n', "".join(f'{n},""\n' for n in range(40, 2000))])
def test_an_unclosed_quote_breaks_its_line_only(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, "lines.csv", 'id,text\n1,a\n2,"never closed\n3,b\n4,"two\nlines"\n' + end)
    rows = read(path, COPY, "copy")
    assert rows["text"].fillna("").tolist()[:4] == ["a", "", "b", "two\nlines"]
    assert rows[PARSE_ERROR].dropna().to_dict() == {1: csv_files.UNCLOSED_QUOTE}
    assert len(rows) == 4 + end.count("\n")


def test_a_field_of_one_quote_joins_no_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "lines.csv", 'id,text,category\n1,a,"\n2,b,"\n3,"c\n,d",e\n')
    rows = read(path, COPY, "copy")
    assert rows["text"].fillna("").tolist() == ["", "", "c\n,d"]
    assert rows[PARSE_ERROR].fillna("").tolist() == [csv_files.UNCLOSED_QUOTE, csv_files.UNCLOSED_QUOTE, ""]


TEXTS = st.text("a,\"; \n\t'é", max_size=6).map(lambda text: text.rstrip(",;\t|"))
RECORDS = st.lists(st.lists(TEXTS, min_size=3, max_size=3), min_size=1, max_size=8)


@pytest.mark.slow
@settings(max_examples=50)
@given(RECORDS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_csv_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]], separator: str, end: str, quoted: bool
) -> None:
    path = tmp_path_factory.mktemp("csv") / "lines.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        quoting: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting).writerows(
            [["a", "b", "text"], *([["x", *record[1:]] for record in records])]
        )
    chunks = csv_files.read_csv(path, COPY.model_copy(update={"separator": separator}))
    rows = pd.concat(chunks).astype("str").fillna("")
    assert PARSE_ERROR not in rows
    assert [[b.lstrip(" "), t.lstrip(" ")] for b, t in rows[["b", "text"]].to_numpy().tolist()] == [
        [b.lstrip(" "), t.lstrip(" ")] for _, b, t in records
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_line_is_one(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, "lines.csv", end.join(["text,category", "a,b", "", '"c",d', ""]))
    assert read(path, COPY, "copy")["text"].tolist() == ["a", "c"]


def test_excels_first_line_states_the_separator(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", "sep=;\r\ntext;category\r\na,b;c\r\n"), COPY, "copy")
    assert rows[["text", "category"]].to_numpy().tolist() == [["a,b", "c"]]
    source = COPY.model_copy(update={"skip_rows": 2})
    rows = read(written(tmp_path, "report.csv", "sep=;\nReport\ntext;category\na,b;c\n"), source, "copy")
    assert rows["text"].tolist() == ["a,b"]


def test_a_large_field_is_read(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", f'text,payload\na,{"x" * 200_000}\nb,"{"y" * 200_000}"\n'), COPY, "copy")
    assert rows["text"].tolist() == ["a", "b"]
